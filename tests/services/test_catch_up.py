"""Catching up with a large backlog leaves the other events to other workers, and ends as a whole."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import Sessions
from app.domain.subscriptions import StripeSubscriptionState
from app.services import webhooks
from tests.support.contexts import database_context
from tests.support.timeouts import TIMEOUT

LEASE = timedelta(seconds=3)
SUBSCRIPTIONS = leases.WINDOW // 2
BACKLOG = text(
    "INSERT INTO events (id, type, object_id, state, payload, is_reduced, work_key, due_at)"
    " SELECT 'evt_' || n || '_' || more, 'customer.subscription.updated', 'sub_' || n, 'received', '{}', true,"
    " 'subscription:sub_' || n, now() - interval '1 hour'"
    f" FROM generate_series(1, {SUBSCRIPTIONS}) n, generate_series(1, 4) more"
)
LEASED_UNTIL = text("SELECT until FROM leases WHERE key = 'catching-up'")


async def leased_until(sessions: Sessions) -> datetime:
    async with sessions.begin() as session:
        ends: datetime = (await session.execute(LEASED_UNTIL)).scalar_one()
        return ends


async def nothing_listed(_: Collection[str]) -> Mapping[str, StripeSubscriptionState]:
    return {}


async def test_other_workers_find_events_beside_a_large_backlog(sessions: Sessions) -> None:
    is_listing, can_end = asyncio.Event(), asyncio.Event()

    async def fetch_all(_: Collection[str]) -> Mapping[str, StripeSubscriptionState]:
        is_listing.set()
        await can_end.wait()
        return {}

    async def apply(_: leases.Claimed, __: StripeSubscriptionState | None) -> None: ...

    async with sessions.begin() as session:
        await session.execute(BACKLOG)
    ctx = database_context(sessions, lease=LEASE, backlog_threshold=1)
    catching_up = asyncio.create_task(webhooks.catch_up(ctx, fetch_all, apply, owner="anna"))
    try:
        async with asyncio.timeout(TIMEOUT):
            await is_listing.wait()
            first = await leased_until(sessions)
            while await leased_until(sessions) < first + 2 * LEASE:  # the claimed events would be due again by now
                await asyncio.sleep(0.1)
            async with sessions.begin() as session:
                await inbox.request_refetch(session, "subscription:sub_new", why="a reader has just paid")
            claimed: set[str] = set()
            while "subscription:sub_new" not in claimed:
                await asyncio.sleep(0.1)
                async with sessions.begin() as session:
                    claimed = {one.key for one in await inbox.claim(session, owner="bert", lease=LEASE, limit=10)}
        assert not catching_up.done()
    finally:
        can_end.set()
        await asyncio.gather(catching_up, return_exceptions=True)


async def test_catching_up_leaves_no_task_behind_when_it_fails(sessions: Sessions) -> None:
    started, canceled = asyncio.Event(), asyncio.Event()

    async def apply(claimed: leases.Claimed, _: StripeSubscriptionState | None) -> None:
        if claimed.key == "subscription:sub_1":
            await started.wait()
            raise ConnectionError("the release of the key failed")
        started.set()
        try:
            await asyncio.Event().wait()  # until it is canceled
        except asyncio.CancelledError:
            canceled.set()
            raise

    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
        await inbox.request_refetch(session, "subscription:sub_2", why="test")
    ctx = database_context(sessions, lease=LEASE, backlog_threshold=1)

    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(TIMEOUT):
            await webhooks.catch_up(ctx, nothing_listed, apply, owner="anna")

    assert canceled.is_set()


async def test_a_cut_while_catching_up_uses_up_no_attempt_of_what_never_began(sessions: Sessions) -> None:
    begun = asyncio.Queue[str]()

    async def apply(claimed: leases.Claimed, _: StripeSubscriptionState | None) -> None:
        begun.put_nowait(claimed.key)
        raise ConnectionError("the release of the key failed")

    async with sessions.begin() as session:
        await session.execute(BACKLOG)
    ctx = database_context(sessions, lease=timedelta(milliseconds=1), backlog_threshold=1)
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(TIMEOUT):
            await webhooks.catch_up(ctx, nothing_listed, apply, owner="anna")
    async with sessions.begin() as session:
        await session.execute(text("UPDATE events SET due_at = now()"))
        again = await inbox.claim(session, owner="bert", lease=LEASE, limit=SUBSCRIPTIONS)

    attempts = {one.key: one.attempts for one in again}
    tried = {begun.get_nowait() for _ in range(begun.qsize())}
    assert 0 < len(tried) <= ctx.settings.worker_concurrency
    assert attempts.keys() - tried, "most of the backlog was claimed and never tried"
    counted = [key for key, count in attempts.items() if count > 1]  # some had begun when they were canceled
    assert tried <= set(counted)
    assert len(counted) <= ctx.settings.worker_concurrency
