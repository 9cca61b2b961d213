"""On every basis, repeated clicks and lost responses cause exactly one refund."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx2

from tests.journeys.lifecycle.test_issues import two_years
from tests.support.refunds import (
    GOODWILL,
    UNSERVED,
    check_books,
    decide_refund,
    get_quotes,
    payment_ids,
    request_refund,
)
from tests.support.shop import Person, Shop

LATER = datetime(2026, 8, 15, 18, tzinfo=UTC)  # the guarantee has expired, and some issues are served
CONFLICTS = {"refund_in_progress", "quote_changed", "nothing_to_refund"}
LOST: tuple[dict[str, object], ...] = ({"action": "drop"}, {"action": "status", "status": 500})


async def readers(shop: Shop, *names: str) -> list[tuple[Person, str, int]]:
    """Subscribe readers half a year ago. Return each with their payment and the value of the unserved issues."""
    people = [shop.person(name) for name in names]
    for one in people:
        await shop.subscribe(one)
    await two_years(shop)
    await shop.advance_to(LATER)
    found = []
    for one in people:
        (payment,) = await payment_ids(shop, one)
        worth = (await get_quotes(shop, payment))[UNSERVED]["amount"]["amount"]
        assert 0 < worth < 49_00
        found.append((one, payment, worth))
    return found


def agents(shop: Shop) -> list[Person]:
    return [shop.person(name, roles=("support",)) for name in ("agent", "agnes")]


def supervisors(shop: Shop) -> list[Person]:
    return [shop.person(name, roles=("supervisor",)) for name in ("boss", "chief")]


def accepted(answers: list[httpx2.Response]) -> list[httpx2.Response]:
    """Return the successful responses; every other one must have a reason."""
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in refused} <= CONFLICTS, [answer.text for answer in refused]
    moved = [answer for answer in answers if answer not in refused]
    assert {answer.status_code for answer in moved} <= {201, 202}, [answer.text for answer in moved]
    return moved


async def request_pending_goodwill(shop: Shop, payment: str, amount: int, *, key: str = "asks") -> str:
    """Request goodwill above the limit of one person."""
    asked = await request_refund(shop, payment, GOODWILL, amount, key=key)
    assert (asked.status_code, asked.json()["status"]) == (202, "awaiting_approval"), asked.text
    return str(asked.json()["id"])


async def test_fifty_clicks_of_two_agents_cause_one_refund_on_each_basis(shop: Shop) -> None:
    (ada, of_ada, worth), (bea, of_bea, _) = await readers(shop, "ada", "bea")
    desk = agents(shop)

    clicks = await asyncio.gather(
        *(request_refund(shop, of_ada, UNSERVED, worth, key=f"u{i}", by=desk[i % 2]) for i in range(50)),
        # Every request quotes the full amount, so only one of them can succeed.
        *(
            request_refund(shop, of_bea, GOODWILL, 10_00, expected=49_00, key=f"g{i}", by=desk[i % 2])
            for i in range(50)
        ),
    )
    await shop.wait_until_idle()

    assert (len(accepted(clicks[:50])), len(accepted(clicks[50:]))) == (1, 1)
    assert (await check_books(shop, of_ada), await check_books(shop, of_bea)) == (worth, 10_00)
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 2
    assert (await shop.check(ada))["reason"] == "refunded"
    assert await shop.may_read(bea)
    # Goodwill without a quote is a separate refund for each key, but never exceeds the payment.
    parts = await asyncio.gather(*(request_refund(shop, of_bea, GOODWILL, 9_00, key=f"part-{i}") for i in range(8)))
    await shop.wait_until_idle()
    for number in range(5):
        parts.append(await request_refund(shop, of_bea, GOODWILL, 9_00, key=f"more-{number}"))
        await shop.wait_until_idle()
    assert await check_books(shop, of_bea) == 10_00 + 9_00, "more than the limit of one person waits"
    assert {answer.json()["code"] for answer in parts if answer.status_code == 409} >= {"refund_too_large"}
    boss = supervisors(shop)[0]
    waiting = (await shop.get("/v1/support/refunds", shop.agent, status="awaiting_approval")).json()["data"]
    for one in waiting:
        assert (await decide_refund(shop, one["id"], "approve", boss, key=one["id"])).status_code in {201, 202}
        await shop.wait_until_idle()
    assert await check_books(shop, of_bea) == 10_00 + 4 * 9_00


async def test_a_lost_response_causes_one_refund_on_each_basis(shop: Shop) -> None:
    names = ("ada", "bea", "cyd", "dan")
    unserved = await readers(shop, *names)
    chief = supervisors(shop)[1]

    for number, lost in enumerate(LOST):
        (one, payment, worth), (other, in_parts, _) = unserved[number], unserved[number + 2]
        by = agents(shop)[number]  # each with a day's limit of their own
        for basis, paid, amount in ((UNSERVED, payment, worth), (GOODWILL, in_parts, 7_00), (GOODWILL, in_parts, 7_00)):
            await shop.add_fault(method="POST", path="/v1/refunds", when="after", times=1, **lost)
            key = f"{number}-{amount}-{len(await shop.stripe_requests('POST', '/v1/refunds'))}"
            answer = await request_refund(shop, paid, basis, amount, key=key, by=by)
            await shop.wait_until_idle()
            assert answer.status_code in {201, 202}, answer.text
            again = await request_refund(shop, paid, basis, amount, key=key, by=by)
            assert again.json()["id"] == answer.json()["id"]
        waiting = await request_pending_goodwill(shop, in_parts, 30_00, key=f"asks-{number}")
        await shop.add_fault(method="POST", path="/v1/refunds", when="after", times=1, **lost)
        approved = await decide_refund(shop, waiting, "approve", chief)
        await shop.wait_until_idle()

        assert approved.status_code in {201, 202}, approved.text
        assert (await check_books(shop, payment), await check_books(shop, in_parts)) == (worth, 7_00 + 7_00 + 30_00)
        assert (await shop.check(one))["reason"] == "refunded"
        assert await shop.may_read(other)
    assert await shop.count_pending_work() == 0


async def test_only_one_of_several_concurrent_decisions_counts(shop: Shop) -> None:
    people = [shop.person(name) for name in ("ada", "bea", "cyd", "dan")]
    for one in people:
        await shop.subscribe(one)
    boss, chief = supervisors(shop)

    for number, one in enumerate(people):
        (payment,) = await payment_ids(shop, one)
        refund = await request_pending_goodwill(shop, payment, 30_00, key=f"asks-{number}")
        words = [("approve", boss), ("approve", chief), ("reject", boss), ("reject", chief)] * 3
        words = words[number:] + words[:number]
        answers = await asyncio.gather(
            *(decide_refund(shop, refund, verdict, by, key=f"{number}-{i}") for i, (verdict, by) in enumerate(words))
        )
        await shop.wait_until_idle()

        shown = (await shop.get(f"/v1/support/refunds/{refund}", shop.agent)).json()
        assert shown["status"] in {"succeeded", "rejected"}
        paid = shown["status"] == "succeeded"
        assert await check_books(shop, payment) == (30_00 if paid else 0)
        expected = {"approve"} if paid else {"reject"}
        for (verdict, by), answer in zip(words, answers, strict=True):
            heard = verdict in expected and f"staff:{by.sub}" == shown["decided_by"]
            assert (answer.status_code < 300) == heard or _still(answer), (verdict, by.sub, answer.text)
        decisions = await shop.rows(
            "SELECT action FROM audit_log WHERE object_id = $1 AND action IN ('refund.approved', 'refund.rejected')",
            refund,
        )
        assert len(decisions) == 1
        assert await shop.may_read(one)
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == len(
        await shop.rows("SELECT id FROM refunds WHERE status = 'succeeded'")
    )


def _still(answer: httpx2.Response) -> bool:
    """Return whether a response says that the refund is decided or in process."""
    return answer.status_code == 409 and bool(answer.json()["code"] in {"not_awaiting_approval", "refund_in_progress"})


async def test_fifty_approvals_by_two_supervisors_cause_one_payment(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    refund = await request_pending_goodwill(shop, payment, 30_00)
    both = supervisors(shop)

    answers = await asyncio.gather(
        *(decide_refund(shop, refund, "approve", both[i % 2], key=f"{i}") for i in range(50)),
    )
    await shop.wait_until_idle()

    responses: dict[Any, set[int]] = {
        by.sub: {answer.status_code for i, answer in enumerate(answers) if both[i % 2] is by} for by in both
    }
    decided = (await shop.get(f"/v1/support/refunds/{refund}", shop.agent)).json()["decided_by"]
    assert {frozenset(responses.pop(decided.removeprefix("staff:"))) <= {201, 202}} == {True}
    assert set(*responses.values()) == {409}
    assert await check_books(shop, payment) == 30_00
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1
