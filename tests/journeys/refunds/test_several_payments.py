"""A term with two payments, because print was added later: both are refunded together, each once."""

import asyncio
from datetime import timedelta

from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.refunds.test_paid_once import LATER, accepted, agents
from tests.support.refunds import GOODWILL, GUARANTEE, UNSERVED, check_books, get_quotes, payment_ids, request_refund
from tests.support.shop import START_TIME, Person, Shop


async def add_print(shop: Shop, reader: Person) -> tuple[str, str]:
    """Add print within the term and pay for it; return the payments, that of print last."""
    (held,) = (await shop.overview(reader))["subscriptions"]
    (price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_print"))["data"]
    await shop.stripe_post(
        "/v1/subscription_items", subscription=held["stripe_id"], price=price["id"], proration_behavior="always_invoice"
    )
    await shop.wait_until_idle()
    first, later = await payment_ids(shop, reader)
    return first, later


async def status_of(shop: Shop, reader: Person) -> str:
    """Return the status of a reader's subscription at Stripe."""
    (held,) = (await shop.overview(reader))["subscriptions"]
    return str((await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"])


async def quoted_parts(shop: Shop, payment: str, basis: str) -> dict[str, int]:
    quote = (await get_quotes(shop, payment))[basis]
    return {part["payment"]: part["amount"]["amount"] for part in quote["parts"]}


async def readers_with_print(shop: Shop, *names: str) -> list[tuple[Person, str, str]]:
    """Subscribe readers and add print after a month."""
    people = [shop.person(name) for name in names]
    for one in people:
        await shop.subscribe(one)
    await two_years(shop)
    await shop.advance_to(START_TIME + timedelta(days=30))
    return [(one, *await add_print(shop, one)) for one in people]


async def test_the_guarantee_refunds_both_payments_of_a_term_once(shop: Shop) -> None:
    (ada, first, later), (bea, paid, printed), (cyd, opened, added) = await readers_with_print(
        shop, "ada", "bea", "cyd"
    )
    both = {first: 49_00, later: 22_03}
    assert await quoted_parts(shop, first, GUARANTEE) == await quoted_parts(shop, later, GUARANTEE) == both

    # Two agents refund one payment each: the guarantee covers both.
    desk = agents(shop)
    clicks = await asyncio.gather(
        *(
            request_refund(shop, (first, later)[i % 2], GUARANTEE, 71_03, key=f"{i}", by=desk[i // 2 % 2])
            for i in range(24)
        )
    )
    await shop.wait_until_idle()

    (only,) = accepted(clicks)
    assert only.json()["total"]["amount"] == 71_03
    assert {part["payment"]: part["amount"]["amount"] for part in only.json()["parts"]} == both
    assert (await check_books(shop, first), await check_books(shop, later)) == (49_00, 22_03)
    assert (await shop.check(ada))["reason"] == "refunded"
    assert await status_of(shop, ada) == "canceled"

    # After a partial refund of one payment, the guarantee refunds the rest of both.
    assert (await request_refund(shop, printed, GOODWILL, 20_00, key="goodwill")).status_code == 201
    await shop.wait_until_idle()
    assert await shop.may_read(bea)
    assert await quoted_parts(shop, paid, GUARANTEE) == {paid: 49_00, printed: 2_03}
    stale = await request_refund(shop, paid, GUARANTEE, 71_03, key="stale")
    assert (stale.status_code, stale.json()["code"]) == (409, "quote_changed")
    assert (await request_refund(shop, printed, GUARANTEE, 51_03, key="rest")).status_code == 201
    await shop.wait_until_idle()
    assert (await check_books(shop, paid), await check_books(shop, printed)) == (49_00, 22_03)
    assert not await shop.may_read(bea)
    for payment in (paid, printed):
        reasons = {basis: quote["reason"] for basis, quote in (await get_quotes(shop, payment)).items()}
        assert reasons.pop("withdrawal") == "withdrawal_period_over"  # of Bea, whose place is unknown
        assert set(reasons.values()) == {"nothing_to_refund"}

    # After a manual refund that we don't know of, only the other payment is refunded.
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe_post("/v1/refunds", payment_intent=added)
    answer = await request_refund(shop, opened, GUARANTEE, 71_03, key="half")
    assert answer.status_code == 201, answer.text
    assert [(p["status"], p["failure_reason"]) for p in answer.json()["parts"]] == [
        ("succeeded", None),
        ("failed", "nothing_to_refund"),
    ]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()
    assert (await check_books(shop, opened), await check_books(shop, added)) == (49_00, 22_03)
    assert not await shop.may_read(cyd)
    assert await status_of(shop, cyd) == "canceled"


async def test_unserved_issues_of_both_payments_are_refunded_after_the_guarantee(
    shop: Shop,
) -> None:
    (ada, first, later), (bea, paid, printed) = await readers_with_print(shop, "ada", "bea")
    await shop.advance_to(LATER)
    # 24 issues for 49.00, 12 of them served; 21 print copies for 22.03, from the first label cut-off after it was paid, 9 of
    # them served. The labels of the last one have closed, so a refund doesn't stop it. Rounded once, in the reader's favor.
    worth = 71_03 - int(49_00 * 12 / 24 + 22_03 * 9 / 21)
    for payment in (first, later):
        quote = (await get_quotes(shop, payment))[UNSERVED]
        assert (quote["allowed"], quote["amount"]["amount"], quote["stops_print"]) == (True, worth, True)
    parts = await quoted_parts(shop, first, UNSERVED)

    desk = agents(shop)
    clicks = await asyncio.gather(
        *(
            request_refund(shop, (first, later)[i % 2], UNSERVED, worth, key=f"{i}", by=desk[i // 2 % 2])
            for i in range(12)
        )
    )
    await shop.wait_until_idle()

    assert len(accepted(clicks)) == 1
    back = await check_books(shop, first), await check_books(shop, later)
    assert sum(back) == worth
    assert max(abs(back[0] - parts[first]), abs(back[1] - parts[later])) <= 1, "which part includes the rounded cent"
    assert (await shop.check(ada))["reason"] == "refunded"
    assert await status_of(shop, ada) == "canceled"

    # A manual refund of all of print ends print, and only that; one of the payment that opened the term ends the term.
    await shop.stripe_post("/v1/refunds", payment_intent=printed)
    await shop.wait_until_idle()
    assert await shop.may_read(bea)
    assert await status_of(shop, bea) == "active"
    quote = (await get_quotes(shop, paid))[UNSERVED]
    assert quote["amount"]["amount"] == 24_50, "12 of 24 issues of the other payment"
    await shop.stripe_post("/v1/refunds", payment_intent=paid)
    await shop.wait_until_idle()
    assert (await check_books(shop, paid), await check_books(shop, printed)) == (49_00, 22_03)
    assert (await shop.check(bea))["reason"] == "refunded"
    assert await status_of(shop, bea) == "canceled"
