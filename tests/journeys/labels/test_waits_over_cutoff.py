"""
Requests that begin before a label cut-off and are stored after it: Stripe is slow, or the reader is locked.

What is on the frozen run is sent, so it is neither refunded nor held. The answer says what is true now.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2

from app.db.editions import CUTOFF_LOCK
from tests.support.crashes import wait_until_blocked, wait_until_hit
from tests.support.labels import HOME, NEW_HOME, circulation, freeze, labels, try_to_freeze
from tests.support.print_edition import put, quote
from tests.support.refunds import UNSERVED, payment_ids, request_refund
from tests.support.shop import Person, Shop
from tests.support.timeouts import TIMEOUT

ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)  # the end of March 8 in Chicago
SECOND = timedelta(seconds=1)
READER = "SELECT FROM subscribers WHERE sub = 'ada' FOR UPDATE"
FREEZE_IS_LOCKED = (  # a freeze has, or waits for, what requests from before the cut-off share
    "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
    " AND (classid::bigint << 32) + objid::bigint = {lock} AND granted = {granted}"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
Request = Coroutine[Any, Any, httpx2.Response]


async def _reader(shop: Shop) -> Person:
    """Return a reader with print, a moment before the cut-off."""
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(CUTOFF - 2 * SECOND)
    return ada


async def _over_the_cutoff(shop: Shop) -> None:
    at = str(int((CUTOFF + SECOND).timestamp()))
    await shop.stripe.post(f"/v1/test_helpers/test_clocks/{shop.clock}/advance", data={"frozen_time": at})
    await shop.wait_for_clock()


async def _frozen_meanwhile(shop: Shop, request: Request) -> httpx2.Response:
    """Send a request before the cut-off. It waits for the reader's lock until the run is frozen."""
    blocker = await asyncpg.connect(shop.dsn)
    try:
        async with blocker.transaction():
            await blocker.execute(READER)
            waiting = asyncio.create_task(request)
            await wait_until_blocked(shop, blocker.get_server_pid())
            await _over_the_cutoff(shop)
            run = await try_to_freeze(shop, ISSUE)
            assert run.status_code == 201, run.text
        answer = await waiting
    finally:
        await blocker.close()
    await shop.wait_until_idle()
    assert len(await labels(shop, ISSUE)) == 1
    return answer


async def _paid_back(shop: Shop) -> list[int]:
    return [refund["amount"] for refund in (await shop.stripe_get("/v1/refunds"))["data"]]


async def test_dropping_print_does_not_refund_a_copy_that_is_sent(shop: Shop) -> None:
    ada = await _reader(shop)
    quoted = await quote(shop, ada)
    assert (quoted["from_issue"], quoted["amount"]["amount"]) == (ISSUE, 24_00)
    fault = await shop.add_fault(method="GET", path="/v1/subscriptions/*", when="after", action="hold", times=1)
    dropping = asyncio.create_task(put(shop, ada, enabled=False, amount=24_00))
    await wait_until_hit(shop, fault)
    await shop.advance_to(CUTOFF + SECOND)
    run = await freeze(shop, ISSUE)
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")

    answer = await dropping
    await shop.wait_until_idle()

    assert run["counts"]["copies"] == 1
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_changed")
    assert await _paid_back(shop) == []
    assert (await quote(shop, ada))["amount"]["amount"] == 23_00


async def test_a_refund_does_not_pay_for_a_copy_that_is_sent(shop: Shop) -> None:
    ada = await _reader(shop)
    (payment,) = await payment_ids(shop, ada)

    answer = await _frozen_meanwhile(shop, request_refund(shop, payment, UNSERVED, 73_00, key="refund"))

    assert (answer.status_code, answer.json()["code"]) == (409, "quote_changed")
    assert await _paid_back(shop) == []


async def test_a_hold_does_not_skip_a_copy_that_is_sent(shop: Shop) -> None:
    ada = await _reader(shop)

    hold = {"from": "2026-03-08", "issues": 1}
    answer = await _frozen_meanwhile(shop, shop.post("/v1/me/holds", ada, hold))

    assert (answer.status_code, answer.json()["code"]) == (422, "hold_dates_wrong")
    assert (await shop.get("/v1/me/holds", ada)).json()["data"] == []


async def test_support_cannot_hold_a_copy_that_is_sent_either(shop: Shop) -> None:
    await _reader(shop)
    (reader,) = await shop.rows("SELECT id FROM subscribers WHERE sub = 'ada'")

    hold = {"from": "2026-03-08", "until": "2026-03-30"}
    path = f"/v1/support/subscribers/{reader['id']}/holds"
    answer = await _frozen_meanwhile(shop, shop.post(path, shop.agent, hold))

    assert (answer.status_code, answer.json()["code"]) == (422, "hold_dates_wrong")


async def test_a_lifted_hold_still_skips_the_issue_whose_labels_are_frozen(shop: Shop) -> None:
    ada = await _reader(shop)
    ben = shop.person("ben")
    await shop.subscribe(ben, print_edition=True)  # the copy on the run
    made = await shop.post("/v1/me/holds", ada, {"from": "2026-03-08", "issues": 2})
    assert made.json()["held"] == [5, 6]

    path = f"/v1/me/holds/{made.json()['id']}"
    answer = await _frozen_meanwhile(shop, shop.http.delete(path, headers=dict(ada.headers)))

    assert (answer.status_code, answer.json()["held"]) == (200, [5])


async def test_an_address_counts_from_the_issue_that_the_answer_names(shop: Shop) -> None:
    ada = await _reader(shop)

    request = shop.http.put("/v1/me/address", headers=dict(ada.headers), json=NEW_HOME)
    answer = await _frozen_meanwhile(shop, request)

    assert answer.json()["counts_from"]["issue"] == 6
    assert (await labels(shop, ISSUE))[0]["city"] == HOME["city"]
    (saved,) = await shop.rows("SELECT saved_at FROM postal_addresses WHERE replaced_at IS NULL")
    assert saved["saved_at"] == CUTOFF


async def test_issues_that_support_adds_count_from_the_cutoff(shop: Shop) -> None:
    await _reader(shop)
    (held,) = await shop.rows("SELECT id FROM subscriptions")

    path, body = f"/v1/support/subscriptions/{held['id']}/extend", {"issues": 1, "reason": "goodwill"}
    answer = await _frozen_meanwhile(shop, shop.post(path, shop.agent, body, **{"Idempotency-Key": "extend"}))

    assert answer.status_code == 201, answer.text
    assert await shop.rows("SELECT created_at FROM issue_adjustments") == [{"created_at": CUTOFF}]


async def test_the_freeze_waits_for_what_was_stored_before_the_cutoff(shop: Shop) -> None:
    """A hold has seen an open calendar and is not committed yet: the freeze must not miss it."""
    ada = await _reader(shop)
    circulation(shop)
    blocker = await asyncpg.connect(shop.dsn)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE holds IN EXCLUSIVE MODE")  # it can be read, and nothing inserted
            holding = asyncio.create_task(shop.post("/v1/me/holds", ada, {"from": "2026-03-08", "issues": 1}))
            await wait_until_blocked(shop, blocker.get_server_pid())
            await _over_the_cutoff(shop)
            freezing = asyncio.create_task(try_to_freeze(shop, ISSUE))
            await shop.wait_until(
                "SELECT count(*) > 0 FROM pg_stat_activity"
                " WHERE datname = current_database() AND (wait_event_type, wait_event) = ('Lock', 'advisory')"
            )
        held, run = await holding, await freezing
    finally:
        await blocker.close()

    assert (held.status_code, held.json()["held"]) == (201, [ISSUE])
    assert (run.status_code, run.json()["counts"]["copies"]) == (201, 0)


async def _requests_are_answered(shop: Shop, ada: Person) -> None:
    """Hold issues and ask for a refund. Neither waits for anybody."""
    (payment,) = await payment_ids(shop, ada)
    async with asyncio.timeout(TIMEOUT):
        held = await shop.post("/v1/me/holds", ada, {"from": "2026-04-01", "issues": 1})
        assert held.status_code == 201, held.text
        refunded = await request_refund(shop, payment, UNSERVED, 1_00, key="refund")
        assert refunded.status_code in (201, 409), refunded.text


async def test_a_freeze_in_progress_delays_nobody_who_begins_after_the_cutoff(shop: Shop) -> None:
    ada = await _reader(shop)
    circulation(shop)
    await shop.advance_to(CUTOFF + SECOND)
    blocker = await asyncpg.connect(shop.dsn)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE labels IN EXCLUSIVE MODE")  # it can be read, and nothing inserted
            freezing = asyncio.create_task(try_to_freeze(shop, ISSUE))
            await wait_until_blocked(shop, blocker.get_server_pid())
            await shop.wait_until(FREEZE_IS_LOCKED.format(lock=CUTOFF_LOCK, granted=True))
            await _requests_are_answered(shop, ada)
            assert not freezing.done()
        run = await freezing
    finally:
        await blocker.close()
    assert (run.status_code, run.json()["counts"]["copies"]) == (201, 1)


async def test_a_client_that_sleeps_over_the_cutoff_delays_the_freeze_only(shop: Shop) -> None:
    ada = await _reader(shop)
    circulation(shop)
    sleeper = await asyncpg.connect(shop.dsn)
    try:
        async with sleeper.transaction():
            await sleeper.execute("SELECT pg_advisory_xact_lock_shared($1)", CUTOFF_LOCK)
            await shop.advance_to(CUTOFF + SECOND)
            freezing = asyncio.create_task(try_to_freeze(shop, ISSUE))
            await shop.wait_until(FREEZE_IS_LOCKED.format(lock=CUTOFF_LOCK, granted=False))
            await _requests_are_answered(shop, ada)
            assert not freezing.done()
        run = await freezing
    finally:
        await sleeper.close()
    assert (run.status_code, run.json()["counts"]["copies"]) == (201, 1)
