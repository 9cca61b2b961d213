"""Refunds of unserved issues, after the guarantee has expired."""

from datetime import UTC, datetime
from typing import Any

from tests.journeys.lifecycle.test_issues import ledger, two_years
from tests.support.shop import Person, Shop


async def get_quotes(shop: Shop, payment: str) -> dict[str, dict[str, Any]]:
    answer = await shop.get(f"/v1/support/payments/{payment}/refund-quote", shop.agent)
    assert answer.status_code == 200, answer.text
    return {quote["basis"]: quote for quote in answer.json()["quotes"]}


async def refund_unserved(shop: Shop, payment: str, amount: int, by: Person) -> dict[str, object]:
    body = {
        "payment": payment,
        "basis": "unserved_issues",
        "reason": "requested_by_reader",
        "expected_amount": {"amount": amount, "currency": "usd"},
    }
    answer = await shop.post("/v1/support/refunds", by, body, **{"Idempotency-Key": f"unserved-{amount}"})
    return {**answer.json(), "http": answer.status_code}


async def test_a_refund_of_unserved_issues_ends_the_subscription(shop: Shop) -> None:
    ada = shop.person("ada")
    await shop.subscribe(ada)
    (payment,) = (await shop.overview(ada))["payments"]
    before = await get_quotes(shop, payment["id"])
    assert (before["unserved_issues"]["allowed"], before["unserved_issues"]["reason"]) == (False, "no_calendar")

    await two_years(shop)
    await shop.wait_until_idle()
    assert (await get_quotes(shop, payment["id"]))["unserved_issues"]["amount"]["amount"] == 49_00
    await shop.advance_to(datetime(2026, 8, 15, 18, tzinfo=UTC))
    served = (await ledger(shop, ada))["served"]
    assert 0 < served < 24
    worth = 49_00 - 49_00 * served // 24
    quotes = await get_quotes(shop, payment["id"])
    assert quotes["guarantee"]["reason"] == "outside_guarantee"
    assert quotes["unserved_issues"]["amount"]["amount"] == worth
    assert quotes["unserved_issues"]["ends_access"]

    stale = await refund_unserved(shop, payment["id"], worth + 1, shop.agent)
    assert (stale["http"], stale["code"]) == (409, "quote_changed")
    assert await shop.may_read(ada)
    refund = await refund_unserved(shop, payment["id"], worth, shop.agent)
    assert (refund["http"], refund["basis"]) == (201, "unserved_issues")

    assert not await shop.may_read(ada)
    assert (await shop.check(ada, "digital_edition"))["reason"] == "refunded"
    await shop.wait_until_idle()
    (at_stripe,) = (await shop.stripe_get("/v1/refunds", payment_intent=payment["id"]))["data"]
    assert at_stripe["amount"] == worth
    (term,) = (await shop.overview(ada))["subscriptions"][0]["terms"]
    assert (term["ledger"]["served"], term["ledger"]["cancelled"]) == (served, 24 - served)
    again = (await get_quotes(shop, payment["id"]))["unserved_issues"]
    assert not again["allowed"]
