"""Leases of due work: claimed once, released, and retried a limited number of times."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import Sessions

LEASE = timedelta(seconds=30)
EXPIRED = timedelta(0)  # a lease that ends at once


async def refetch(sessions: Sessions, key: str, times: int = 1) -> None:
    async with sessions.begin() as session:
        for _ in range(times):
            await inbox.request_refetch(session, key, why="test")


async def claim(sessions: Sessions, owner: str, *, limit: int = 100, lease: timedelta = LEASE) -> list[leases.Claimed]:
    async with sessions.begin() as session:
        return await leases.claim(session, "events", owner=owner, lease=lease, limit=limit, may_crash=True)


async def begin(sessions: Sessions, claimed: leases.Claimed, owner: str) -> bool:
    return await leases.begin(sessions, claimed, owner=owner, lease=EXPIRED)


async def test_all_due_rows_of_a_key_are_claimed_together(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1", times=3)

    (claimed,) = await claim(sessions, "anna")

    assert (claimed.key, len(claimed.ids), claimed.attempts) == ("subscription:sub_1", 3, 1)


async def test_a_key_is_leased_to_one_worker_at_a_time(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    await refetch(sessions, "subscription:sub_1")

    assert await claim(sessions, "bert") == []


async def test_concurrent_workers_claim_different_keys(sessions: Sessions) -> None:
    for number in range(20):
        await refetch(sessions, f"subscription:sub_{number}")

    shares = await asyncio.gather(*(claim(sessions, f"worker-{n}", limit=7) for n in range(4)))

    keys = [claimed.key for share in shares for claimed in share]
    assert len(keys) == len(set(keys))


async def test_the_work_of_a_dead_worker_is_free_when_its_lease_expires(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (first,) = await claim(sessions, "anna", lease=EXPIRED)
    assert await begin(sessions, first, "anna")

    (claimed,) = await claim(sessions, "bert")

    assert claimed.attempts == 2


async def test_a_claim_whose_job_never_began_uses_up_no_attempt(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    for _ in range(3):
        await claim(sessions, "anna", lease=EXPIRED)
        async with sessions.begin() as session:
            await session.execute(text("UPDATE events SET due_at = now()"))
    await refetch(sessions, "subscription:sub_1")

    (claimed,) = await claim(sessions, "bert")
    assert (claimed.attempts, len(claimed.ids)) == (1, 2)
    async with sessions.begin() as session:
        assert (await session.scalars(text("SELECT attempts FROM events"))).all() == [1, 1]


async def test_a_claim_counts_for_its_own_table_only(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=EXPIRED)
    async with sessions.begin() as session:
        await session.execute(
            text("INSERT INTO retention_runs (id, work_key, due_at, attempts) SELECT :id, :key, now(), 3"),
            {"id": "x", "key": "subscription:sub_1"},
        )
        (claimed,) = await leases.claim(session, "retention_runs", owner="bert", lease=LEASE, limit=1)

    assert claimed.attempts == 4


async def test_a_job_whose_lease_was_lost_does_not_begin(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (of_anna,) = await claim(sessions, "anna", lease=EXPIRED)
    async with sessions.begin() as session:
        await session.execute(text("UPDATE events SET due_at = now()"))
    (of_bert,) = await claim(sessions, "bert")

    assert not await begin(sessions, of_anna, "anna")
    assert await begin(sessions, of_bert, "bert")
    assert not await begin(sessions, of_bert, "bert"), "it begins once, even if its owner claimed the key again"


async def test_work_that_kills_its_workers_is_retried_at_different_times(sessions: Sessions) -> None:
    for number in range(20):
        await refetch(sessions, f"subscription:sub_{number}")
    for _ in range(6):  # each time the worker dies with all its claimed work
        await claim(sessions, "anna", lease=EXPIRED)
        async with sessions.begin() as session:
            await session.execute(text("UPDATE events SET attempts = attempts + 1, due_at = now()"))
    await claim(sessions, "anna", lease=EXPIRED)

    async with sessions.begin() as session:
        waits = (await session.scalars(text("SELECT extract(epoch FROM due_at - now()) FROM events ORDER BY 1"))).all()
    assert waits[-1] - waits[0] > 60, "the work is retried at different times, most of it before the fatal one"


async def test_a_renewed_lease_does_not_expire(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(hours=1))
    async with sessions.begin() as session:
        await leases.renew(session, ["subscription:sub_1"], owner="anna", lease=timedelta(hours=3))
        await session.execute(text("UPDATE leases SET until = until - interval '2 hours'"))  # as if they had passed

    assert await claim(sessions, "bert") == []


async def test_renewing_one_lease_does_not_renew_another(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=EXPIRED)
    async with sessions.begin() as session:
        await leases.renew(session, ["subscription:sub_2"], owner="anna", lease=LEASE)

    assert len(await claim(sessions, "bert")) == 1


async def test_only_the_owner_can_release_a_lease(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    async with sessions.begin() as session:
        await leases.release(session, "subscription:sub_1", owner="bert")
    assert await claim(sessions, "bert") == []
    async with sessions.begin() as session:
        await leases.release(session, "subscription:sub_1", owner="anna")
        await session.execute(text("UPDATE events SET due_at = now()"))

    assert len(await claim(sessions, "bert")) == 1


async def test_postponed_work_is_not_due_before_its_delay_ends(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    async with sessions.begin() as session:
        await leases.reschedule(session, "events", claimed.ids, attempts=1, error="Stripe was down")
        await leases.release(session, claimed.key, owner="anna")

    assert await claim(sessions, "anna") == []


async def test_a_request_and_a_worker_cannot_lease_the_same_key(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        assert await leases.take(session, "payment:pi_1", owner="request", lease=LEASE)
    async with sessions.begin() as session:
        assert not await leases.take(session, "payment:pi_1", owner="worker", lease=LEASE)


async def test_only_events_read_before_the_fetch_are_closed(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    await refetch(sessions, "subscription:sub_1")
    async with sessions.begin() as session:
        await inbox.close(session, [(claimed.key, claimed.ids)])
        await leases.release(session, claimed.key, owner="anna")

    (later,) = await claim(sessions, "anna")
    assert set(later.ids).isdisjoint(claimed.ids)


async def test_an_event_is_dead_after_the_last_attempt(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    for _ in range(3):
        (claimed,) = await claim(sessions, "anna")
        async with sessions.begin() as session:
            await leases.reschedule(session, "events", claimed.ids, attempts=claimed.attempts, error="no")
            await inbox.mark_failed(session, claimed.ids, most=3)
            await leases.release(session, claimed.key, owner="anna")
            await session.execute(text("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL"))

    async with sessions.begin() as session:
        (row,) = (await session.execute(text("SELECT state, due_at, last_error, attempts FROM events"))).all()
    assert tuple(row) == ("dead", None, "no", 3)


async def insert_event(sessions: Sessions, event_id: str, object_id: str, key: str) -> None:
    async with sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO events (id, type, object_id, state, payload, work_key, due_at)"
                " VALUES (:id, 'x', :object, 'received', '{}', :key, now())"
            ),
            {"id": event_id, "object": object_id, "key": key},
        )


async def claim_events(sessions: Sessions, owner: str) -> dict[str, tuple[str, ...]]:
    async with sessions.begin() as session:
        return {one.key: one.ids for one in await inbox.claim(session, owner=owner, lease=LEASE, limit=100)}


async def test_a_payment_event_gets_the_key_of_its_subscription(sessions: Sessions) -> None:
    await insert_event(sessions, "evt_1", "in_1", "subscription:sub_1")
    await insert_event(sessions, "evt_2", "inpay_1", "invoice:in_1")
    await insert_event(sessions, "evt_3", "inpay_9", "invoice:in_9")

    claimed = await claim_events(sessions, "anna")

    assert {key: set(ids) for key, ids in claimed.items()} == {
        "subscription:sub_1": {"evt_1", "evt_2"},
        "invoice:in_9": {"evt_3"},  # its subscription is unknown, so Stripe must be called
    }


async def test_a_payment_event_during_a_fetch_waits_for_the_next_fetch(
    sessions: Sessions,
) -> None:
    await insert_event(sessions, "evt_1", "in_1", "subscription:sub_1")
    await claim_events(sessions, "anna")
    await insert_event(sessions, "evt_2", "inpay_1", "invoice:in_1")

    assert await claim_events(sessions, "bert") == {}

    async with sessions.begin() as session:
        await inbox.close(session, [("subscription:sub_1", ["evt_1"])])
        await leases.release(session, "subscription:sub_1", owner="anna")
    assert await claim_events(sessions, "bert") == {"subscription:sub_1": ("evt_2",)}


async def test_claimed_work_has_the_version_of_its_subscription(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await refetch(sessions, "payment:pi_1")
    async with sessions.begin() as session:
        claimed = await inbox.claim(session, owner="anna", lease=LEASE, limit=100)

    assert {one.key: one.version for one in claimed} == {"subscription:sub_1": 0, "payment:pi_1": None}


async def test_closing_many_keys_closes_only_their_earlier_events(
    sessions: Sessions,
) -> None:
    for number in (1, 2):
        await insert_event(sessions, f"evt_{number}_early", "x", f"subscription:sub_{number}")
    async with sessions.begin() as session:
        await session.execute(text("UPDATE events SET state = 'dead', due_at = NULL"))
    for number in (1, 2):
        await insert_event(sessions, f"evt_{number}", "x", f"subscription:sub_{number}")
    for number in (1, 2):
        await insert_event(sessions, f"evt_{number}_late", "x", f"subscription:sub_{number}")

    async with sessions.begin() as session:
        looked_at = [(f"subscription:sub_{number}", [f"evt_{number}"]) for number in (1, 2)]
        await inbox.close(session, looked_at)

    async with sessions.begin() as session:
        left = await session.scalars(text("SELECT id FROM events WHERE state <> 'applied'"))
    assert set(left) == {"evt_1_late", "evt_2_late"}
