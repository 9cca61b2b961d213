"""An import ends, refunds and cancels nothing. Staff see what is unusual in the history of an imported customer."""

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.disputes.test_disputes import bank_action, charge_of, support_list
from tests.journeys.subscribing.test_importing import create_former_subscriber, run_import, sign_in
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.shop import START_TIME, Person, Shop

THIRD_YEAR = START_TIME + timedelta(days=2 * 365 + 30)


async def payments_of(shop: Shop, customer: str) -> list[str]:
    """Return the IDs of a customer's payments at Stripe, earliest first."""
    paid = (await shop.stripe_get("/v1/payment_intents", customer=customer, limit="100"))["data"]
    return [str(one["id"]) for one in reversed(paid)]


async def subscriptions_of(shop: Shop, customer: str) -> dict[str, str]:
    """Return the statuses of a customer's subscriptions at Stripe, by ID."""
    listed = (await shop.stripe_get("/v1/subscriptions", customer=customer, status="all"))["data"]
    return {one["id"]: one["status"] for one in listed}


async def second_subscription(shop: Shop, customer: str, **more: str) -> str:
    """Create another subscription of a customer, for a parent for example."""
    (first,) = (await shop.stripe_get("/v1/subscriptions", customer=customer))["data"]
    price, card = first["items"]["data"][0]["price"]["id"], first["default_payment_method"]
    made = await shop.stripe_post(
        "/v1/subscriptions", customer=customer, default_payment_method=card, **{"items[0][price]": price, **more}
    )
    return str(made["id"])


async def anomalies(shop: Shop) -> dict[str, set[str]]:
    """Return the codes of the open anomalies, by object."""
    found: dict[str, set[str]] = {}
    for one in await support_list(shop, "anomalies"):
        found.setdefault(one["object"], set()).add(one["code"])
    return found


async def refunds_at_stripe(shop: Shop) -> list[dict[str, Any]]:
    return list((await shop.stripe_get("/v1/refunds", limit="100"))["data"])


@pytest.fixture
async def quiet_shop(shop: Shop) -> Shop:
    """Provide a shop that gets no webhooks: it was opened after everything had happened."""
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    return shop


async def test_a_year_that_was_refunded_long_ago_costs_no_later_year(quiet_shop: Shop) -> None:
    shop = quiet_shop
    customer = await create_former_subscriber(shop, "ida@example.com", newsstand_sub="ida")
    (first,) = await payments_of(shop, customer)
    await shop.advance_to(START_TIME + timedelta(days=20))
    refund = await shop.stripe_post("/v1/refunds", payment_intent=first)
    await shop.advance_to(THIRD_YEAR)
    assert len(await payments_of(shop, customer)) == 3
    ida = sign_in(shop, "ida", "ida@example.com")

    status, said, wrong = await newsstand(shop.settings, "import", "stripe", "--dry-run")
    assert (status, "[refunded_earlier]" in said, "Later terms were paid" in said) == (0, True, True), wrong
    await run_import(shop)

    (stripe_id,) = await subscriptions_of(shop, customer)
    assert await subscriptions_of(shop, customer) == {stripe_id: "active"}
    assert [one["id"] for one in await refunds_at_stripe(shop)] == [refund["id"]]
    assert (await shop.check(ida))["reason"] == "paid_term"
    assert await anomalies(shop) == {stripe_id: {"refunded_earlier"}}
    assert (await shop.stripe_get("/v1/credit_notes"))["data"] == []
    await run_import(shop)
    await run_import(shop)
    await shop.advance_to(THIRD_YEAR + timedelta(days=365))
    await run_import(shop)
    assert len(await refunds_at_stripe(shop)) == 1
    assert (await shop.check(ida))["reason"] == "paid_term"
    policy = await shop.rows("SELECT action FROM audit_log WHERE actor = 'policy'")
    assert policy == []


async def test_both_subscriptions_of_an_imported_customer_keep_running(quiet_shop: Shop) -> None:
    shop = quiet_shop
    customer = await create_former_subscriber(shop, "una@example.com", newsstand_sub="una")
    await second_subscription(shop, customer)
    both = await subscriptions_of(shop, customer)

    _, said, _ = await newsstand(shop.settings, "import", "stripe", "--dry-run")
    assert "[several_subscriptions]" in said
    await run_import(shop)
    assert await anomalies(shop) == {customer: {"several_subscriptions"}}
    await shop.advance_to(THIRD_YEAR)
    await run_import(shop)

    assert await subscriptions_of(shop, customer) == both
    assert await refunds_at_stripe(shop) == []
    assert await shop.may_read(sign_in(shop, "una", "una@example.com"))
    canceled = next(iter(both))
    await shop.stripe.put("/_sandbox/settings", json={"loss": 0.0})
    await shop.stripe.delete(f"/v1/subscriptions/{canceled}")
    await shop.wait_until_idle()
    assert await anomalies(shop) == {}, "only one is left"


async def test_disputes_of_imported_payments_are_read(quiet_shop: Shop) -> None:
    shop = quiet_shop
    people: dict[str, str] = {}
    for name in ("opal", "lars", "lena"):
        people[name] = await create_former_subscriber(shop, f"{name}@example.com", newsstand_sub=name)
    (lars,) = await payments_of(shop, people["lars"])
    lost = (await bank_action(shop, f"charges/{await charge_of(shop, lars)}/dispute"))["id"]
    await bank_action(shop, f"disputes/{lost}", status="lost")
    await shop.advance_to(START_TIME + timedelta(days=400))
    _, opal = await payments_of(shop, people["opal"])
    _, lena = await payments_of(shop, people["lena"])
    await bank_action(shop, f"charges/{await charge_of(shop, opal)}/dispute")
    newest = (await bank_action(shop, f"charges/{await charge_of(shop, lena)}/dispute"))["id"]
    await bank_action(shop, f"disputes/{newest}", status="lost")

    _, said, _ = await newsstand(shop.settings, "import", "stripe", "--dry-run")
    assert (said.count("[dispute_lost_earlier]"), said.count("[dispute_open]")) == (2, 1)
    await run_import(shop)

    readers: dict[str, Person] = {name: sign_in(shop, name, f"{name}@example.com") for name in people}
    assert {name: (await shop.check(reader))["reason"] for name, reader in readers.items()} == {
        "opal": "dispute_open",
        "lars": "paid_term",
        "lena": "dispute_lost",
    }
    statuses = [status for customer in people.values() for status in (await subscriptions_of(shop, customer)).values()]
    assert statuses == ["active"] * 3
    assert await refunds_at_stripe(shop) == []
    assert sorted(code for codes in (await anomalies(shop)).values() for code in codes) == ["dispute_lost_earlier"] * 2
    assert len(await support_list(shop, "disputes", state="open")) == 1


async def test_an_open_or_late_paid_invoice_of_an_earlier_end_is_left_alone(quiet_shop: Shop) -> None:
    shop = quiet_shop
    paid_late, unpaid = [
        await create_former_subscriber(shop, f"{name}@example.com", newsstand_sub=name) for name in ("late", "never")
    ]
    held = {customer: next(iter(await subscriptions_of(shop, customer))) for customer in (paid_late, unpaid)}
    for customer, stripe_id in held.items():
        card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)
        await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(days=1))
    for stripe_id in held.values():
        await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(days=5))
    (owed,) = (await shop.stripe_get("/v1/invoices", subscription=held[paid_late], status="open"))["data"]
    good = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=paid_late)
    await shop.stripe_post(f"/v1/invoices/{owed['id']}/pay", payment_method=good["id"])

    _, said, _ = await newsstand(shop.settings, "import", "stripe", "--dry-run")
    assert said.count("[paid_after_end_earlier]") == 1
    await run_import(shop)

    assert await refunds_at_stripe(shop) == []
    assert await anomalies(shop) == {held[paid_late]: {"paid_after_end_earlier"}}
    assert len((await shop.stripe_get("/v1/invoices", subscription=held[unpaid], status="open"))["data"]) == 1


async def test_policies_act_on_what_happens_after_the_import(quiet_shop: Shop) -> None:
    shop = quiet_shop
    refunded = await create_former_subscriber(shop, "rex@example.com", newsstand_sub="rex")
    twice = await create_former_subscriber(shop, "tia@example.com", newsstand_sub="tia")
    await run_import(shop)
    await shop.stripe.put("/_sandbox/settings", json={"loss": 0.0})

    (payment,) = await payments_of(shop, refunded)
    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    (imported,) = await subscriptions_of(shop, twice)
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    bought = await second_subscription(shop, twice)
    await shop.wait_until_idle()

    assert list((await subscriptions_of(shop, refunded)).values()) == ["canceled"]
    assert (await shop.check(sign_in(shop, "rex", "rex@example.com")))["reason"] == "refunded"
    assert await subscriptions_of(shop, twice) == {imported: "active", bought: "canceled"}
    assert len(await refunds_at_stripe(shop)) == 2
    assert await shop.may_read(sign_in(shop, "tia", "tia@example.com"))
