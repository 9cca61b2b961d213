"""Due work: claimed once, given back, tried again, never for ever."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.db import inbox, work
from app.db.session import Sessions

LEASE = timedelta(seconds=30)


async def knock(sessions: Sessions, key: str, times: int = 1) -> None:
    async with sessions.begin() as session:
        for _ in range(times):
            await inbox.knock(session, key, why="test")


async def claim(sessions: Sessions, owner: str, *, limit: int = 100, lease: timedelta = LEASE) -> list[work.Claimed]:
    async with sessions.begin() as session:
        return await work.claim(session, "events", owner=owner, lease=lease, limit=limit)


async def test_all_due_rows_of_a_key_are_claimed_together_and_the_try_is_counted(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1", times=3)

    (claimed,) = await claim(sessions, "anna")

    assert (claimed.key, len(claimed.ids), claimed.attempts) == ("subscription:sub_1", 3, 1)


async def test_one_worker_at_a_time_works_for_a_key(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    await knock(sessions, "subscription:sub_1")

    assert await claim(sessions, "bert") == []


async def test_many_workers_at_once_share_the_keys_without_overlap(sessions: Sessions) -> None:
    for number in range(20):
        await knock(sessions, f"subscription:sub_{number}")

    shares = await asyncio.gather(*(claim(sessions, f"worker-{n}", limit=7) for n in range(4)))

    keys = [claimed.key for share in shares for claimed in share]
    assert len(keys) == len(set(keys))


async def test_a_dead_workers_work_is_free_when_its_lease_ends(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(milliseconds=1))

    (claimed,) = await claim(sessions, "bert")

    assert claimed.attempts == 2


async def test_a_renewed_lease_holds(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(milliseconds=200))
    async with sessions.begin() as session:
        await work.renew(session, owner="anna", lease=LEASE)
    await asyncio.sleep(0.3)

    assert await claim(sessions, "bert") == []


async def test_a_lease_is_given_back_by_its_owner_alone(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    async with sessions.begin() as session:
        await work.release(session, "subscription:sub_1", owner="bert")
    assert await claim(sessions, "bert") == []
    async with sessions.begin() as session:
        await work.release(session, "subscription:sub_1", owner="anna")

    assert len(await claim(sessions, "bert")) == 1


async def test_what_is_put_back_is_not_due_until_its_pause_is_over(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    async with sessions.begin() as session:
        await work.later(session, "events", claimed.ids, attempts=1, error="Stripe was away")
        await work.release(session, claimed.key, owner="anna")

    assert await claim(sessions, "anna") == []


async def test_a_request_and_a_worker_do_not_work_for_the_same_key(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        assert await work.take(session, "payment:pi_1", owner="request", lease=LEASE)
    async with sessions.begin() as session:
        assert not await work.take(session, "payment:pi_1", owner="worker", lease=LEASE)


async def test_only_what_was_read_before_the_fetch_is_closed(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    await knock(sessions, "subscription:sub_1")
    async with sessions.begin() as session:
        await inbox.close(session, claimed.ids, key=claimed.key)
        await work.release(session, claimed.key, owner="anna")

    (later,) = await claim(sessions, "anna")
    assert set(later.ids).isdisjoint(claimed.ids)


async def test_events_are_dead_after_the_last_try_and_visible(sessions: Sessions) -> None:
    await knock(sessions, "subscription:sub_1")
    for _ in range(3):
        (claimed,) = await claim(sessions, "anna")
        async with sessions.begin() as session:
            await work.later(session, "events", claimed.ids, attempts=claimed.attempts, error="no")
            await inbox.fail(session, claimed.ids, most=3)
            await work.release(session, claimed.key, owner="anna")
            await session.execute(text("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL"))

    async with sessions.begin() as session:
        (row,) = (await session.execute(text("SELECT state, due_at, last_error, attempts FROM events"))).all()
    assert tuple(row) == ("dead", None, "no", 3)


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 1, 2), (2, 2, 4), (5, 16, 32), (30, 450, 900)])
def test_pauses_double_to_a_quarter_of_an_hour(attempts: int, least: int, most: int) -> None:
    assert work.pause(attempts, jitter=0.0) == timedelta(seconds=least)
    assert work.pause(attempts, jitter=1.0) == timedelta(seconds=most)
