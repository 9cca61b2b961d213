"""Workers and staff lock webhook rows in the same order, so their transactions don't deadlock."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.context import DatabaseContext
from app.db import webhook_deliveries, webhook_endpoints
from app.db.engine.session import Session, Sessions
from app.db.webhook_deliveries import ClaimedDelivery, Result
from app.domain.errors import NotFound
from app.domain.webhook_deliveries import EndpointResponse, Replay
from app.services import webhook_endpoints as services
from app.services.webhook_deliveries import replay
from tests.support.timeouts import TIMEOUT
from tests.support.webhook_receiver import add_endpoint, delivering, happen, receiving, webhook_context

URL = "http://127.0.0.1:9/hook"
RESPONSE = EndpointResponse(503, None, "", timedelta(seconds=1))
Work = Callable[[Session], Awaitable[object]]


@pytest.fixture
def ctx(sessions: Sessions, tmp_path: Path) -> DatabaseContext:
    return webhook_context(sessions, tmp_path)


async def run(ctx: DatabaseContext, work: Work) -> None:
    async with ctx.sessions.begin() as session:
        await work(session)


async def queue(ctx: DatabaseContext) -> None:
    await run(ctx, lambda session: webhook_deliveries.queue_slice(session, limit=10))


async def somebody_waits(ctx: DatabaseContext) -> bool:
    """Return whether a statement waits for a lock. In a transaction of its own: the statistics of one don't change."""
    async with ctx.sessions.begin() as session:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(await session.scalar(text(waiting)))


async def meet(ctx: DatabaseContext, locked: str, other: Awaitable[object], then: Work) -> None:
    """Lock a row, let somebody else wait for it, and go on in the same transaction."""
    async with ctx.sessions.begin() as session:
        await session.execute(text(locked))
        waiting = asyncio.ensure_future(other)
        async with asyncio.timeout(TIMEOUT):
            while not await somebody_waits(ctx):
                await asyncio.sleep(0.01)
        await then(session)
    await waiting


async def failed_delivery(ctx: DatabaseContext, endpoint_id: str) -> Work:
    """Return what a worker records after a failed attempt to send the only delivery."""
    async with ctx.sessions.begin() as session:
        lane, sequence = (await session.execute(text("SELECT lane, sequence FROM webhook_deliveries"))).one()
    claimed = ClaimedDelivery(f"webhook:{lane}", (), 1, lane=lane, endpoint_id=endpoint_id, sequence=sequence)

    async def record(session: Session) -> None:
        await webhook_deliveries.record(session, [Result(claimed, "pending", RESPONSE, timedelta(minutes=1))])
        await webhook_endpoints.record_results(session, succeeded=[], failed=[endpoint_id], gone=[], waits={})

    return record


LANE = "SELECT FROM webhook_lanes FOR UPDATE"


async def test_a_replay_and_the_queue_lock_the_lane_before_the_delivery(ctx: DatabaseContext) -> None:
    endpoint = (await add_endpoint(ctx, URL)).endpoint.id
    await happen(ctx, "ada")
    await queue(ctx)  # so that there is a lane
    await happen(ctx, "ada")
    async with ctx.sessions.begin() as session:
        (event,) = (await webhook_deliveries.events_after(session, 0, limit=10))[1:]

    async def put(session: Session) -> None:
        await webhook_deliveries.put(session, endpoint, [event], delivered_too=True)

    await meet(ctx, LANE, queue(ctx), put)

    async with ctx.sessions.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'")) == 2


@pytest.mark.parametrize("what", ["deleted", "enabled"])
async def test_an_endpoint_is_changed_while_a_worker_records_a_delivery(ctx: DatabaseContext, what: str) -> None:
    endpoint = (await add_endpoint(ctx, URL)).endpoint.id
    await happen(ctx, "ada")
    await queue(ctx)
    record = await failed_delivery(ctx, endpoint)
    await services.disable(ctx, endpoint, by="staff:admin")
    changing = services.remove if what == "deleted" else services.enable

    await meet(ctx, LANE, changing(ctx, endpoint, by="staff:admin"), record)

    async with ctx.sessions.begin() as session:
        left = await webhook_endpoints.by_id(session, endpoint)
        statuses = list(await session.scalars(text("SELECT status FROM webhook_deliveries")))
        due = list(await session.scalars(text("SELECT due_at <= now() FROM webhook_lanes")))
    expected = (True, ["canceled"], []) if what == "deleted" else (False, ["pending"], [True])
    assert (left is None, statuses, due) == expected


async def test_two_workers_record_the_same_endpoints_with_other_results(ctx: DatabaseContext) -> None:
    first, second = sorted([(await add_endpoint(ctx, URL, name=name)).endpoint.id for name in ("one", "two")])
    await run(ctx, lambda session: session.execute(text("UPDATE webhook_endpoints SET failing_since = now()")))

    async def record(session: Session) -> None:
        await webhook_endpoints.record_results(session, succeeded=[second], failed=[first], gone=[], waits={})

    await meet(
        ctx,
        f"SELECT FROM webhook_endpoints WHERE id = '{first}' FOR UPDATE",
        run(ctx, record),
        lambda session: webhook_endpoints.record_results(
            session, succeeded=[first], failed=[second], gone=[], waits={}
        ),
    )


async def left_behind(ctx: DatabaseContext) -> list[tuple[str, int]]:
    """Return what would wait forever for an endpoint that is gone."""
    waiting = (
        "SELECT 'lanes', count(*) FROM webhook_lanes"
        " UNION ALL SELECT 'deliveries', count(*) FROM webhook_deliveries WHERE status = 'pending'"
    )
    async with ctx.sessions.begin() as session:
        found = await session.execute(text(waiting))
        return [(row[0], row[1]) for row in found if row[1]]


@pytest.mark.parametrize("what", ["queued", "replayed"])
async def test_an_endpoint_is_deleted_while_its_first_event_is_added(ctx: DatabaseContext, what: str) -> None:
    """The lane is new, so the deletion could not lock it."""
    endpoint = (await add_endpoint(ctx, URL)).endpoint.id
    await happen(ctx, "ada")

    async with ctx.sessions.begin() as session:
        if what == "queued":
            await webhook_deliveries.queue_slice(session, limit=10)
        else:
            events = await webhook_deliveries.events_after(session, 0, limit=10)
            await webhook_deliveries.put(session, endpoint, events, delivered_too=True)
        removing = asyncio.ensure_future(services.remove(ctx, endpoint, by="staff:admin"))
        async with asyncio.timeout(TIMEOUT):
            while not await somebody_waits(ctx):
                assert not removing.done(), "it did not wait for the event"
                await asyncio.sleep(0.01)
    await removing

    assert await left_behind(ctx) == []


@pytest.mark.parametrize("what", ["queued", "replayed"])
async def test_an_event_is_added_while_its_endpoint_is_deleted(ctx: DatabaseContext, what: str) -> None:
    endpoint = (await add_endpoint(ctx, URL)).endpoint.id
    await happen(ctx, "ada")
    async with ctx.sessions.begin() as session:
        events = await webhook_deliveries.events_after(session, 0, limit=10)

    async def replay() -> None:
        with pytest.raises(NotFound):
            await run(ctx, lambda session: webhook_deliveries.put(session, endpoint, events, delivered_too=True))

    async def delete(session: Session) -> None:
        await webhook_endpoints.remove(session, endpoint, lanes=[])

    await meet(ctx, "SELECT FROM webhook_endpoints FOR UPDATE", queue(ctx) if what == "queued" else replay(), delete)

    assert await left_behind(ctx) == []


async def test_endpoints_are_deleted_while_workers_send_to_them_and_events_are_replayed(ctx: DatabaseContext) -> None:
    """With real workers and many transactions at once: nothing fails, and nothing waits for an endpoint that is gone."""
    readers = [f"reader-{number}" for number in range(10)]
    async with receiving() as site:
        endpoints = [(await add_endpoint(ctx, site.url, name=f"site {number}")).endpoint.id for number in range(4)]
        kept = endpoints.pop()

        async def happens() -> None:
            for number in range(8):
                await happen(ctx, *readers, n=number)

        async def replay_until_deleted(endpoint: str) -> None:
            everything = Replay(since=datetime.now(UTC) - timedelta(hours=1), only_undelivered=False)
            with contextlib.suppress(NotFound):
                while True:
                    await replay(ctx, endpoint, everything, by="staff:admin")

        async def delete(endpoint: str, after: int) -> None:
            await site.wait_for(after)
            await services.remove(ctx, endpoint, by="staff:admin")

        with capture_logs() as logs:
            async with delivering(ctx), delivering(ctx), asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
                tasks.create_task(happens())
                for number, endpoint in enumerate(endpoints):
                    tasks.create_task(replay_until_deleted(endpoint))
                    tasks.create_task(delete(endpoint, after=20 * (number + 1)))
            async with delivering(ctx), asyncio.timeout(TIMEOUT):
                while await left_behind(ctx):
                    await asyncio.sleep(0.01)

        async with ctx.sessions.begin() as session:
            assert [one.id for one in await webhook_endpoints.list_all(session)] == [kept]
            of_kept = await webhook_deliveries.page(session, kept, status="delivered", after=None, limit=100)
        assert len(of_kept) == len(readers) * 8
        assert [one for one in logs if one["log_level"] in {"warning", "error"}] == []
