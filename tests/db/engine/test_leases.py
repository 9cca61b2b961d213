"""Due work: claimed once, given back, tried again, never for ever."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import Sessions

LEASE = timedelta(seconds=30)


async def refetch(sessions: Sessions, key: str, times: int = 1) -> None:
    async with sessions.begin() as session:
        for _ in range(times):
            await inbox.request_refetch(session, key, why="test")


async def claim(sessions: Sessions, owner: str, *, limit: int = 100, lease: timedelta = LEASE) -> list[leases.Claimed]:
    async with sessions.begin() as session:
        return await leases.claim(session, "events", owner=owner, lease=lease, limit=limit, may_crash=True)


async def test_all_due_rows_of_a_key_are_claimed_together_and_the_try_is_counted(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1", times=3)

    (claimed,) = await claim(sessions, "anna")

    assert (claimed.key, len(claimed.ids), claimed.attempts) == ("subscription:sub_1", 3, 1)


async def test_one_worker_at_a_time_works_for_a_key(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    await refetch(sessions, "subscription:sub_1")

    assert await claim(sessions, "bert") == []


async def test_many_workers_at_once_share_the_keys_without_overlap(sessions: Sessions) -> None:
    for number in range(20):
        await refetch(sessions, f"subscription:sub_{number}")

    shares = await asyncio.gather(*(claim(sessions, f"worker-{n}", limit=7) for n in range(4)))

    keys = [claimed.key for share in shares for claimed in share]
    assert len(keys) == len(set(keys))


async def test_a_dead_workers_work_is_free_when_its_lease_ends(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(milliseconds=1))

    (claimed,) = await claim(sessions, "bert")

    assert claimed.attempts == 2


async def test_what_kills_its_worker_again_and_again_moves_away_from_its_neighbours(sessions: Sessions) -> None:
    for number in range(20):
        await refetch(sessions, f"subscription:sub_{number}")
    for _ in range(6):  # each time the worker dies with all it has claimed
        await claim(sessions, "anna", lease=timedelta(milliseconds=1))
        async with sessions.begin() as session:
            await session.execute(text("UPDATE events SET attempts = attempts + 1, due_at = now()"))
    await claim(sessions, "anna", lease=timedelta(milliseconds=1))

    async with sessions.begin() as session:
        waits = (await session.scalars(text("SELECT extract(epoch FROM due_at - now()) FROM events ORDER BY 1"))).all()
    assert waits[-1] - waits[0] > 60, "they come back apart, the most of them before the one that kills"


async def test_a_renewed_lease_holds(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(milliseconds=200))
    async with sessions.begin() as session:
        await leases.renew(session, ["subscription:sub_1"], owner="anna", lease=LEASE)
    await asyncio.sleep(0.3)

    assert await claim(sessions, "bert") == []


async def test_a_lease_that_is_not_in_hand_is_not_renewed(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna", lease=timedelta(milliseconds=1))
    async with sessions.begin() as session:
        await leases.renew(session, ["subscription:sub_2"], owner="anna", lease=LEASE)

    assert len(await claim(sessions, "bert")) == 1


async def test_a_lease_is_given_back_by_its_owner_alone(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await claim(sessions, "anna")
    async with sessions.begin() as session:
        await leases.release(session, "subscription:sub_1", owner="bert")
    assert await claim(sessions, "bert") == []
    async with sessions.begin() as session:
        await leases.release(session, "subscription:sub_1", owner="anna")
        await session.execute(text("UPDATE events SET due_at = now()"))

    assert len(await claim(sessions, "bert")) == 1


async def test_what_is_put_back_is_not_due_until_its_pause_is_over(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    async with sessions.begin() as session:
        await leases.reschedule(session, "events", claimed.ids, attempts=1, error="Stripe was away")
        await leases.release(session, claimed.key, owner="anna")

    assert await claim(sessions, "anna") == []


async def test_a_request_and_a_worker_do_not_work_for_the_same_key(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        assert await leases.take(session, "payment:pi_1", owner="request", lease=LEASE)
    async with sessions.begin() as session:
        assert not await leases.take(session, "payment:pi_1", owner="worker", lease=LEASE)


async def test_only_what_was_read_before_the_fetch_is_closed(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    (claimed,) = await claim(sessions, "anna")
    await refetch(sessions, "subscription:sub_1")
    async with sessions.begin() as session:
        await inbox.close(session, [(claimed.key, claimed.ids)])
        await leases.release(session, claimed.key, owner="anna")

    (later,) = await claim(sessions, "anna")
    assert set(later.ids).isdisjoint(claimed.ids)


async def test_events_are_dead_after_the_last_try_and_visible(sessions: Sessions) -> None:
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


async def told(sessions: Sessions, event_id: str, object_id: str, key: str) -> None:
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


async def test_a_payments_event_joins_those_of_the_subscription_whose_invoice_it_is_of(sessions: Sessions) -> None:
    await told(sessions, "evt_1", "in_1", "subscription:sub_1")
    await told(sessions, "evt_2", "inpay_1", "invoice:in_1")
    await told(sessions, "evt_3", "inpay_9", "invoice:in_9")

    claimed = await claim_events(sessions, "anna")

    assert {key: set(ids) for key, ids in claimed.items()} == {
        "subscription:sub_1": {"evt_1", "evt_2"},
        "invoice:in_9": {"evt_3"},  # nothing tells whose it is: Stripe has to be asked
    }


async def test_a_payments_event_that_comes_while_its_subscription_is_looked_at_waits_for_the_next_look(
    sessions: Sessions,
) -> None:
    await told(sessions, "evt_1", "in_1", "subscription:sub_1")
    await claim_events(sessions, "anna")
    await told(sessions, "evt_2", "inpay_1", "invoice:in_1")

    assert await claim_events(sessions, "bert") == {}

    async with sessions.begin() as session:
        await inbox.close(session, [("subscription:sub_1", ["evt_1"])])
        await leases.release(session, "subscription:sub_1", owner="anna")
    assert await claim_events(sessions, "bert") == {"subscription:sub_1": ("evt_2",)}


async def test_what_is_claimed_carries_the_version_that_fences_its_save(sessions: Sessions) -> None:
    await refetch(sessions, "subscription:sub_1")
    await refetch(sessions, "payment:pi_1")
    async with sessions.begin() as session:
        claimed = await inbox.claim(session, owner="anna", lease=LEASE, limit=100)

    assert {one.key: one.version for one in claimed} == {"subscription:sub_1": 0, "payment:pi_1": None}


async def test_closing_many_keys_at_once_closes_what_failed_before_of_each_and_nothing_later(
    sessions: Sessions,
) -> None:
    for number in (1, 2):
        await told(sessions, f"evt_{number}_early", "x", f"subscription:sub_{number}")
    async with sessions.begin() as session:
        await session.execute(text("UPDATE events SET state = 'dead', due_at = NULL"))
    for number in (1, 2):
        await told(sessions, f"evt_{number}", "x", f"subscription:sub_{number}")
    for number in (1, 2):
        await told(sessions, f"evt_{number}_late", "x", f"subscription:sub_{number}")

    async with sessions.begin() as session:
        looked_at = [(f"subscription:sub_{number}", [f"evt_{number}"]) for number in (1, 2)]
        await inbox.close(session, looked_at)

    async with sessions.begin() as session:
        left = await session.scalars(text("SELECT id FROM events WHERE state <> 'applied'"))
    assert set(left) == {"evt_1_late", "evt_2_late"}
