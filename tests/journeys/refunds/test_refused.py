"""Invalid refund requests are rejected with a reason, change nothing, and reveal nothing about other readers."""

import httpx2

from tests.journeys.refunds.test_paid_once import request_pending_goodwill, supervisors
from tests.support.refunds import GOODWILL, GUARANTEE, decide_refund, get_quotes, payment_ids, request_refund
from tests.support.shop import Person, Shop


async def subscribe(shop: Shop) -> tuple[Person, str]:
    """Subscribe Ada; return her and her payment."""
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    return ada, payment


def check_rejected(answer: httpx2.Response, status: int, code: str, *words: str) -> None:
    """Check that a response is an error with a detail that reveals nothing beyond the request."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"]
    for word in words:
        assert word in answer.text, answer.text
    for secret in ("ada@example.com", "Ada Invented", "rdr_", "cus_", "in_", "Traceback", "sqlalchemy"):
        assert secret not in answer.text, answer.text


async def check_untouched(shop: Shop, *, asked_for: int = 0) -> None:
    """Check that no refund was requested or paid and Ada keeps access."""
    assert await shop.stripe_requests("POST", "/v1/refunds") == []
    assert await shop.rows("SELECT key FROM intents WHERE action = 'refund'") == []
    assert len(await shop.rows("SELECT id FROM refunds")) == asked_for
    assert len(await shop.rows("SELECT id FROM audit_log")) == asked_for
    assert await shop.may_read(shop.person())


async def test_an_invalid_refund_amount_is_rejected(shop: Shop) -> None:
    _, payment = await subscribe(shop)

    for amount, status, code, word in (
        (0, 422, "validation_failed", "amount"),
        (-1, 422, "validation_failed", "amount"),
        (2**60, 422, "validation_failed", "amount"),
        (49_01, 409, "refund_too_large", "Only 4900 of the requested 4901 can be refunded"),
    ):
        check_rejected(await request_refund(shop, payment, GOODWILL, amount, key=f"{amount}"), status, code, word)
    for wrong in ("1000", 10.5, True, None):
        money = {"amount": wrong, "currency": "usd"}
        answer = await request_refund(shop, payment, GOODWILL, 10_00, key=f"{wrong}", amount=money)
        check_rejected(answer, 422, "validation_failed", "amount")
    euros = {"amount": 10_00, "currency": "eur"}
    check_rejected(
        await request_refund(shop, payment, GOODWILL, 10_00, key="eur", amount=euros, expected_amount=euros),
        422,
        "other_currency",
    )
    check_rejected(
        await request_refund(shop, payment, GUARANTEE, 49_00, key="e", expected_amount=euros), 422, "other_currency"
    )
    check_rejected(
        await request_refund(shop, payment, GUARANTEE, 49_00, key="a", amount={"amount": 1, "currency": "usd"}),
        422,
        "validation_failed",
        "goodwill",
    )
    await check_untouched(shop)


async def test_a_missing_unknown_or_too_long_reason_is_rejected(shop: Shop) -> None:
    _, payment = await subscribe(shop)

    for number, reason in enumerate((None, "", "because", "x" * 10_000, 7)):
        answer = await request_refund(shop, payment, GOODWILL, 10_00, key=f"r{number}", reason=reason)
        check_rejected(answer, 422, "validation_failed", "reason")
        assert len(answer.text) < 2_000, "the input is not repeated"
    money = {"amount": 10_00, "currency": "usd"}
    without = {"payment": payment, "basis": GOODWILL, "amount": money, "expected_amount": money}
    answer = await shop.post("/v1/support/refunds", shop.agent, without, **{"Idempotency-Key": "w"})
    check_rejected(answer, 422, "validation_failed", "reason")
    other = await request_refund(shop, payment, GOODWILL, 10_00, key="o", reason="other")
    check_rejected(other, 422, "validation_failed", "note")
    long = await request_refund(shop, payment, GOODWILL, 10_00, key="n", note="x" * 10_000)
    check_rejected(long, 422, "validation_failed", "note")
    await check_untouched(shop)


async def test_a_reader_can_neither_refund_nor_see_another_readers_payment(shop: Shop) -> None:
    ada, payment = await subscribe(shop)
    bob = shop.person("bob")

    # A reader's request names no payment; the reader's own payment is used.
    body = {"expected_amount": {"amount": 49_00, "currency": "usd"}}
    named = await shop.post("/v1/me/refunds", bob, {**body, "payment": payment}, **{"Idempotency-Key": "1"})
    check_rejected(named, 422, "validation_failed", "payment")
    check_rejected(await shop.post("/v1/me/refunds", bob, body, **{"Idempotency-Key": "2"}), 404, "no_subscription")
    check_rejected(await shop.get("/v1/me/refund-quote", bob), 404, "no_subscription")
    for who in (ada, bob):
        check_rejected(await request_refund(shop, payment, GUARANTEE, 49_00, key="3", by=who), 403, "not_allowed")
        check_rejected(await shop.get(f"/v1/support/payments/{payment}/refund-quote", who), 403, "not_allowed")
        check_rejected(await shop.get("/v1/support/refunds", who), 403, "not_allowed")
    await check_untouched(shop)

    await shop.subscribe(bob)
    answer = await shop.post("/v1/me/refunds", bob, body, **{"Idempotency-Key": "4"})
    assert (answer.status_code, answer.json()["payment"]) == (201, (await payment_ids(shop, bob))[0])
    await shop.wait_until_idle()
    assert await shop.may_read(ada)
    assert [r["payment_intent"] for r in (await shop.stripe_get("/v1/refunds"))["data"]] == [answer.json()["payment"]]


async def test_refunds_and_approvals_require_the_role_and_a_second_person(shop: Shop) -> None:
    _, payment = await subscribe(shop)
    boss, _ = supervisors(shop)
    clerk = shop.person("clerk", roles=("circulation",))

    check_rejected(await request_refund(shop, payment, GOODWILL, 10_00, key="1", by=clerk), 403, "not_allowed")
    asked = await request_refund(shop, payment, GOODWILL, 40_00, key="2", by=boss)
    assert asked.json()["status"] == "awaiting_approval"
    refund = asked.json()["id"]
    for verdict in ("approve", "reject"):
        check_rejected(await decide_refund(shop, refund, verdict, boss), 403, "own_request")
        for by in (clerk, shop.agent, shop.person()):
            check_rejected(await decide_refund(shop, refund, verdict, by), 403, "not_allowed")
        check_rejected(await decide_refund(shop, "rfd_nobodys", verdict, boss, key="4"), 404, "not_found")
        nameless = await shop.http.post(f"/v1/support/refunds/{refund}/{verdict}")
        check_rejected(nameless, 401, "not_authenticated")
    await check_untouched(shop, asked_for=1)
    assert (await shop.get(f"/v1/support/refunds/{refund}", shop.agent)).json()["status"] == "awaiting_approval"


async def test_an_outdated_quote_is_rejected_with_the_current_one(shop: Shop) -> None:
    ada, payment = await subscribe(shop)
    seen = (await get_quotes(shop, payment))[GUARANTEE]["amount"]
    refund = await request_pending_goodwill(shop, payment, 45_00)
    check_rejected(
        await request_refund(shop, payment, GOODWILL, 5_00, expected=49_00, key="1"),
        409,
        "refund_too_large",
        "Only 400 of the requested 500 can be refunded",
    )
    await check_untouched(shop, asked_for=1)

    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="1000")
    await shop.wait_until_idle()
    stale = await request_refund(shop, payment, GUARANTEE, seen["amount"], key="2")
    check_rejected(stale, 409, "quote_changed", "3900", "4900")
    mine = await shop.post("/v1/me/refunds", ada, {"expected_amount": seen}, **{"Idempotency-Key": "3"})
    check_rejected(mine, 409, "quote_changed", "3900")
    check_rejected(await decide_refund(shop, refund, "approve", supervisors(shop)[0]), 409, "quote_changed", "3900")
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1, "the Dashboard refund"
    assert await shop.may_read(ada)
