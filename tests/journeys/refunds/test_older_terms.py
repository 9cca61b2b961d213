"""A refund concerns its own term: refunding an older one leaves the current, paid term alone."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.lifecycle.test_issues import ledger, two_years
from tests.journeys.lifecycle.test_status_table import A_YEAR, replace_card, subscribe_and_replace_card
from tests.support.reconciliation import reconcile
from tests.support.refunds import UNSERVED, check_books, get_quotes, payment_ids, request_refund
from tests.support.shop import START_TIME, Shop


@pytest.mark.parametrize("parts", [pytest.param((49_00,), id="in one part"), pytest.param((20_00, 29_00), id="in two")])
async def test_a_manual_refund_of_an_older_term_keeps_the_current_one(shop: Shop, parts: tuple[int, ...]) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await two_years(shop)
    await shop.advance_to(A_YEAR + timedelta(days=40))
    first, second = await payment_ids(shop, ada)
    served = (await ledger(shop, ada))["served"]

    for part in parts:
        await shop.stripe_post("/v1/refunds", payment_intent=first, amount=str(part))
        await shop.wait_until_idle()

    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "active"
    assert (held["status"], [term["refunded_as"] for term in held["terms"]]) == ("active", ["dashboard", None])
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert (await ledger(shop, ada))["served"] == served
    assert (await check_books(shop, first), await check_books(shop, second)) == (49_00, 0)
    await shop.advance_to(A_YEAR + timedelta(days=365 + 10))
    assert len(await payment_ids(shop, ada)) == 3
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert len((await shop.stripe_get("/v1/refunds"))["data"]) == len(parts)


async def test_a_manual_refund_in_parts_that_is_completed_after_a_renewal_ends_its_term(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await payment_ids(shop, ada)
    await shop.stripe_post("/v1/refunds", payment_intent=first, amount="2000")
    await shop.advance_to(A_YEAR + timedelta(days=3))
    await shop.stripe_post("/v1/refunds", payment_intent=first, amount="2900")
    await shop.wait_until_idle()

    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["status"], [term["refunded_as"] for term in held["terms"]]) == ("active", ["dashboard", None])
    assert await shop.may_read(ada)
    assert len((await shop.stripe_get("/v1/refunds"))["data"]) == 2


async def test_a_manual_refund_known_months_later_ends_only_its_term(shop: Shop) -> None:
    """Its event was lost and nothing was reconciled; meanwhile a renewal was paid."""
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await payment_ids(shop, ada)
    await shop.advance_to(START_TIME + timedelta(days=30))
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.stripe_post("/v1/refunds", payment_intent=first)
    await shop.stripe.put("/_sandbox/settings", json={"loss": 0.0})
    await shop.advance_to(A_YEAR + timedelta(days=60))
    await reconcile(shop)

    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["status"], [term["refunded_as"] for term in held["terms"]]) == ("active", ["dashboard", None])
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert len((await shop.stripe_get("/v1/refunds"))["data"]) == 1


async def test_unserved_issues_of_an_older_term_can_be_refunded_alone(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await two_years(shop)
    first = (await payment_ids(shop, ada))[0]
    extended = (await shop.overview(ada))["subscriptions"][0]["id"]
    given = {"issues": 6, "reason": "apology", "note": "wet"}
    answer = await shop.post(
        f"/v1/support/subscriptions/{extended}/extend", shop.agent, given, **{"Idempotency-Key": "x"}
    )
    assert answer.status_code < 300, answer.text
    await shop.advance_to(A_YEAR + timedelta(days=3))

    quote = (await get_quotes(shop, first))[UNSERVED]
    assert quote["allowed"]
    assert not quote["ends_access"]
    assert "Only the refunded term ends" in quote["effect"]
    refund = await request_refund(shop, first, UNSERVED, quote["amount"]["amount"], key="old")
    await shop.wait_until_idle()

    assert refund.status_code == 201, refund.text
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["status"] == "active"
    assert (await shop.check(ada))["reason"] == "paid_term"
    old = held["terms"][0]["ledger"]
    assert old["served"] > 20, "what was served stays served"
    assert (old["unserved"], old["cancelled"]) == (0, old["owed"] - old["served"])


async def test_a_renewal_paid_after_the_grace_period_serves_only_issues_that_can_be_sent(shop: Shop) -> None:
    ada = shop.person()
    await two_years(shop)
    await shop.stripe.put("/_sandbox/settings", json={"retry_days": [3, 5, 7, 30]})
    stripe_id = await subscribe_and_replace_card(shop, ada, "pm_card_chargeCustomerFail")
    await shop.advance_to(A_YEAR + timedelta(days=40))
    assert (await shop.check(ada))["reason"] == "payment_failed"
    (owed,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id, status="open"))["data"]
    card = await replace_card(shop, stripe_id, "pm_card_visa")

    await shop.stripe_post(f"/v1/invoices/{owed['id']}/pay", payment_method=card)
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "paid_term"
    renewal = (await payment_ids(shop, ada))[1]
    assert await ledger(shop, ada) == {"owed": 24, "served": 0, "unserved": 24, "last_issue": None}, (
        "after the calendar"
    )
    assert (await get_quotes(shop, renewal))[UNSERVED]["amount"]["amount"] == 49_00, "nothing was sent, so all is left"
    await shop.advance_to(datetime(2027, 5, 1, 18, tzinfo=UTC))
    served = (await ledger(shop, ada))["served"]
    assert 0 < served < 4
    left = (await get_quotes(shop, renewal))[UNSERVED]["amount"]["amount"]
    assert left == 49_00 - 49_00 * served // 24
