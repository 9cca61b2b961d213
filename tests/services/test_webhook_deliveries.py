"""Deliveries of events: signed, in order for each reader, tried again, and never in the way of others."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text

from app.context import DatabaseContext
from app.db.engine.session import Sessions
from app.domain.outbox import OutboxType
from app.domain.webhook_deliveries import InvalidReplay, Replay
from app.services import webhook_deliveries, webhook_endpoints
from app.services.webhook_deliveries import CLAIMED, EACH
from tests.support.timeouts import TIMEOUT
from tests.support.webhook_receiver import add_endpoint, delivering, happen, receiving, webhook_context


@pytest.fixture
def ctx(sessions: Sessions, tmp_path: Path) -> DatabaseContext:
    return webhook_context(sessions, tmp_path)


async def rows(ctx: DatabaseContext, query: str) -> list[Any]:
    async with ctx.sessions.begin() as session:
        return list((await session.execute(text(query))).all())


async def until(ctx: DatabaseContext, query: str) -> None:
    """Wait until a query's first column is true."""
    async with asyncio.timeout(TIMEOUT):
        while not (await rows(ctx, query))[0][0]:
            await asyncio.sleep(0.01)


DONE = "SELECT count(*) = 0 FROM webhook_lanes"


async def retry_now(ctx: DatabaseContext) -> None:
    """Let the pauses before the next attempts pass."""
    async with ctx.sessions.begin() as session:
        await session.execute(text("UPDATE webhook_lanes SET due_at = now()"))


async def test_an_event_arrives_signed_and_complete(ctx: DatabaseContext) -> None:
    async with receiving() as site, delivering(ctx):
        made = await add_endpoint(ctx, site.url)
        await happen(ctx, "ada", reason="print")
        await site.wait_for(1)
        await until(ctx, DONE)

    site.verify(made.secret)
    (body,) = site.bodies
    ((event_id, sequence),) = await rows(ctx, "SELECT id, sequence FROM outbox_events")
    assert (body.pop("id"), body.pop("sequence")) == (event_id, sequence)
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "type": "address.needed",
        "version": 1,
        "reader": {"id": "rdr_ada", "sub": "ada"},
        "data": {"reason": "print"},
    }
    assert site.ids == [event_id]
    assert await rows(ctx, "SELECT status, attempts, response_status FROM webhook_deliveries") == [
        ("delivered", 1, 204)
    ]


async def test_an_endpoint_gets_only_the_types_that_it_asks_for(ctx: DatabaseContext) -> None:
    async with receiving() as site, receiving() as other, delivering(ctx):
        await add_endpoint(ctx, site.url, "copy.mailed")
        await add_endpoint(ctx, other.url)
        await happen(ctx, "ada", type_=OutboxType.COPY_MAILED)
        await happen(ctx, "ada")
        await other.wait_for(2)
        await until(ctx, DONE)

    assert [body["type"] for body in site.bodies] == ["copy.mailed"]


async def test_a_readers_events_wait_for_one_that_failed_and_others_dont(ctx: DatabaseContext) -> None:
    broken = True

    async def respond(body: Mapping[str, Any]) -> web.Response:
        return web.Response(status=500 if broken and body["data"].get("n") == 1 else 200, text="no")

    async with receiving(respond) as site, delivering(ctx):
        await add_endpoint(ctx, site.url)
        for number in (1, 2, 3):
            await happen(ctx, "ada", n=number)
        await happen(ctx, "bob", n=4)
        await until(ctx, "SELECT count(*) = 1 FROM webhook_deliveries WHERE status = 'delivered'")
        waiting = await rows(ctx, "SELECT attempts FROM webhook_deliveries WHERE status = 'pending' ORDER BY sequence")
        broken = False
        await retry_now(ctx)
        await until(ctx, DONE)

    assert waiting[1:] == [(0,), (0,)]  # waiting is no failure
    assert [body["data"]["n"] for body in site.bodies if body["reader"]["sub"] == "ada"][-3:] == [1, 2, 3]
    assert {body["data"]["n"] for body in site.bodies} == {1, 2, 3, 4}


async def test_many_events_arrive_in_order_from_several_workers(ctx: DatabaseContext) -> None:
    readers = [f"reader-{number}" for number in range(8)]
    async with receiving() as site, delivering(ctx), delivering(ctx):
        await add_endpoint(ctx, site.url)
        for number in range(10):
            await happen(ctx, *readers, n=number)
        await site.wait_for(80)
        await until(ctx, DONE)

    for reader in readers:
        assert [one["data"]["n"] for one in site.bodies if one["reader"]["sub"] == reader] == list(range(10))


async def test_an_endpoint_that_asks_to_wait_gets_nothing_until_then(ctx: DatabaseContext) -> None:
    async def respond(_: Mapping[str, Any]) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "1800"})

    async with receiving(respond) as site, receiving() as other, delivering(ctx):
        await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        await until(ctx, "SELECT bool_and(resting_until > now() + interval '29 minutes') FROM webhook_endpoints")
        await until(ctx, "SELECT bool_and(due_at > now() + interval '29 minutes') FROM webhook_lanes")
        await retry_now(ctx)
        await happen(ctx, "bob")  # another lane, which is due
        await add_endpoint(ctx, other.url)
        await happen(ctx, "cleo")
        await other.wait_for(1)
        await until(ctx, "SELECT count(*) = 1 FROM webhook_deliveries WHERE status = 'delivered'")
        assert len(site.requests) == 1
        site.respond = None
        async with ctx.sessions.begin() as session:
            await session.execute(text("UPDATE webhook_endpoints SET resting_until = now()"))
        await until(ctx, DONE)

    assert sorted(body["reader"]["sub"] for body in site.bodies) == ["ada", "ada", "bob", "cleo"]


async def test_an_answer_that_comes_too_late_is_a_failure(ctx: DatabaseContext) -> None:
    late = asyncio.Event()

    async def respond(_: Mapping[str, Any]) -> web.Response:
        await late.wait()
        return web.Response()

    async with receiving(respond) as site:
        await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        async with delivering(ctx, timeout=timedelta(seconds=0.2)):
            await until(ctx, "SELECT count(*) = 1 FROM webhook_deliveries WHERE error IS NOT NULL")
            ((error, status),) = await rows(ctx, "SELECT error, response_status FROM webhook_deliveries")
        late.set()
        await retry_now(ctx)
        async with delivering(ctx):  # with time for a busy machine
            await until(ctx, DONE)

    assert (error, status) == ("No response within 0.2 seconds", None)
    assert len(set(site.ids)) == 1


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, id="some"),
        pytest.param(10_000, id="a burst", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
async def test_a_dead_endpoint_and_a_slow_one_leave_others_on_time(ctx: DatabaseContext, count: int) -> None:
    release = asyncio.Event()

    async def slow(_: Mapping[str, Any]) -> web.Response:
        await release.wait()
        return web.Response()

    patience = timedelta(hours=1)  # longer than the test: what the slow one has not answered is not given up
    async with receiving() as site, receiving(slow) as sleeper, delivering(ctx, timeout=patience):
        dead = (await add_endpoint(ctx, "http://127.0.0.1:9/dead")).endpoint.id
        await add_endpoint(ctx, sleeper.url)
        await add_endpoint(ctx, site.url)
        await happen(ctx, *(f"reader-{number}" for number in range(count)))
        for number in range(100, count + 1, 100):  # a busy machine is slow, but never stuck
            await site.wait_for(number)
        ((attempts,),) = await rows(ctx, f"SELECT sum(attempts) FROM webhook_deliveries WHERE endpoint_id = '{dead}'")
        held = len(sleeper.ids)
        release.set()

    assert len(set(site.ids)) == len(site.ids) == count
    assert held <= EACH, "it takes no more than its share"
    assert attempts < CLAIMED + 200, "a dead endpoint is tried less and less often"


async def test_an_endpoint_that_fails_for_days_is_disabled_and_staff_see_it(ctx: DatabaseContext) -> None:
    async def respond(_: Mapping[str, Any]) -> web.Response:
        return web.Response(status=503)

    async with receiving(respond) as site, delivering(ctx):
        made = await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        await until(ctx, "SELECT bool_and(failing_since IS NOT NULL) FROM webhook_endpoints")
        async with ctx.sessions.begin() as session:
            await session.execute(text("UPDATE webhook_endpoints SET failing_since = now() - interval '121 hours'"))
        await retry_now(ctx)
        await until(ctx, "SELECT bool_and(disabled_reason = 'failing') FROM webhook_endpoints")
        alerts = await rows(ctx, "SELECT code, object_id FROM anomalies WHERE gone_at IS NULL")
        site.respond = None
        enabled = await webhook_endpoints.enable(ctx, made.endpoint.id, by="staff:admin")
        await until(ctx, DONE)

    assert alerts == [("webhook_endpoint_disabled", made.endpoint.id)]
    assert enabled.is_enabled
    assert await rows(ctx, "SELECT count(*) FROM anomalies WHERE gone_at IS NULL") == [(0,)]
    assert await rows(ctx, "SELECT status FROM webhook_deliveries") == [("delivered",)]


async def test_two_failures_days_apart_do_not_disable_a_quiet_endpoint(ctx: DatabaseContext) -> None:
    async def respond(_: Mapping[str, Any]) -> web.Response:
        return web.Response(status=503)

    async with receiving(respond) as site, delivering(ctx):
        await add_endpoint(ctx, site.url)
        async with ctx.sessions.begin() as session:
            earlier = "failing_since = now() - interval '6 days', last_failed_at = now() - interval '3 days'"
            await session.execute(text(f"UPDATE webhook_endpoints SET {earlier}"))
        await happen(ctx, "ada")
        await until(ctx, "SELECT bool_and(last_failed_at > now() - interval '1 day') FROM webhook_endpoints")

    assert await rows(ctx, "SELECT disabled_at FROM webhook_endpoints") == [(None,)]


async def test_a_receiver_that_says_it_is_gone_is_disabled_at_once(ctx: DatabaseContext) -> None:
    async def respond(_: Mapping[str, Any]) -> web.Response:
        return web.Response(status=410)

    async with receiving(respond) as site, delivering(ctx):
        await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        await until(ctx, "SELECT bool_and(disabled_reason = 'gone') FROM webhook_endpoints")

    assert len(site.requests) == 1


async def test_a_delivery_is_given_up_after_three_days_and_the_next_is_sent(ctx: DatabaseContext) -> None:
    async def respond(body: Mapping[str, Any]) -> web.Response:
        return web.Response(status=500 if body["data"].get("n") == 1 else 200)

    async with receiving(respond) as site, delivering(ctx):
        await add_endpoint(ctx, site.url)
        await happen(ctx, "ada", n=1)
        await happen(ctx, "ada", n=2)
        await until(ctx, "SELECT count(*) = 1 FROM webhook_deliveries WHERE error IS NOT NULL OR response_status = 500")
        async with ctx.sessions.begin() as session:
            aged = "UPDATE webhook_deliveries SET first_tried_at = now() - interval '3 days' WHERE attempts > 0"
            await session.execute(text(aged))
        await retry_now(ctx)
        await until(ctx, DONE)

    statuses = await rows(ctx, "SELECT status FROM webhook_deliveries ORDER BY sequence")
    assert statuses == [("failed",), ("delivered",)]


async def test_only_the_beginning_of_an_answer_is_kept(ctx: DatabaseContext) -> None:
    async def respond(_: Mapping[str, Any]) -> web.Response:
        return web.Response(status=400, text="x\0" * 100_000)

    async with receiving(respond) as site, delivering(ctx):
        await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        await until(ctx, "SELECT count(*) = 1 FROM webhook_deliveries WHERE response_status = 400")

    ((answer,),) = await rows(ctx, "SELECT response_body FROM webhook_deliveries")
    assert 0 < len(answer) <= 1024


async def test_both_secrets_sign_during_the_overlap_of_a_rotation(ctx: DatabaseContext) -> None:
    async with receiving() as site, delivering(ctx):
        old = await add_endpoint(ctx, site.url)
        new = await webhook_endpoints.rotate(ctx, old.endpoint.id, by="staff:admin")
        await happen(ctx, "ada")
        await site.wait_for(1)
        await until(ctx, DONE)
        site.verify(old.secret)
        site.verify(new.secret)
        await webhook_endpoints.rotate(ctx, old.endpoint.id, by="staff:admin", overlap=timedelta(0))
        await happen(ctx, "ada")
        await site.wait_for(2)

    assert [len(headers["webhook-signature"].split()) for headers, _ in site.requests] == [2, 1]


async def test_events_are_replayed_one_by_one_by_type_and_by_period(ctx: DatabaseContext) -> None:
    async with receiving() as site, delivering(ctx):
        await happen(ctx, "ada", n=0)  # before there is an endpoint
        made = await add_endpoint(ctx, site.url)
        await happen(ctx, "ada", n=1)
        await happen(ctx, "bob", type_=OutboxType.COPY_MAILED, n=2)
        await site.wait_for(2)
        await until(ctx, DONE)
        ((since, first),) = await rows(ctx, "SELECT created_at, id FROM outbox_events ORDER BY sequence LIMIT 1")

        async def replayed(wanted: Replay) -> list[int]:
            before = len(site.requests)
            count = await webhook_deliveries.replay(ctx, made.endpoint.id, wanted, by="staff:admin")
            await until(ctx, DONE)
            assert len(site.requests) == before + count
            return sorted(body["data"]["n"] for body in site.bodies[before:])

        assert await replayed(Replay(since=since)) == [0]
        assert await replayed(Replay(since=since)) == []
        assert await replayed(Replay(since=since, types=["copy.mailed"], only_undelivered=False)) == [2]
        assert await replayed(Replay(since=since, only_undelivered=False)) == [0, 1, 2]
        assert await replayed(Replay(event_id=first)) == [0]


async def test_a_replay_of_too_many_events_queues_none(ctx: DatabaseContext) -> None:
    made = await add_endpoint(ctx, "http://127.0.0.1:9/")
    await happen(ctx, "ada", "bob", "cyd")
    await happen(ctx, "ada", type_=OutboxType.COPY_MAILED)
    since = datetime.now(UTC) - timedelta(days=1)

    async def replayed(*types: OutboxType, most: int) -> int:
        wanted = Replay(since=since, types=types)
        return await webhook_deliveries.replay(ctx, made.endpoint.id, wanted, by="staff:admin", most=most)

    with pytest.raises(InvalidReplay):
        await replayed(most=3)
    assert await rows(ctx, "SELECT id FROM webhook_lanes") == []
    assert await replayed(OutboxType.COPY_MAILED, most=1) == 1, "other events don't count"
    assert await replayed(most=4) == 3


async def test_a_test_event_goes_to_one_endpoint_only(ctx: DatabaseContext) -> None:
    async with receiving() as site, receiving() as other, delivering(ctx):
        made = await add_endpoint(ctx, site.url, "copy.mailed")
        await add_endpoint(ctx, other.url)
        event_id = await webhook_deliveries.send_test(ctx, made.endpoint.id, by="staff:admin")
        await site.wait_for(1)
        await until(ctx, DONE)

    assert site.ids == [event_id]
    assert (site.bodies[0]["type"], site.bodies[0]["reader"]) == ("webhook.test", None)
    assert other.requests == []


async def test_a_deleted_endpoint_gets_nothing_anymore(ctx: DatabaseContext) -> None:
    async with receiving() as site:
        made = await add_endpoint(ctx, site.url)
        await happen(ctx, "ada")
        async with delivering(ctx):
            await site.wait_for(1)
            await until(ctx, DONE)
        await webhook_endpoints.disable(ctx, made.endpoint.id, by="staff:admin")
        await webhook_endpoints.remove(ctx, made.endpoint.id, by="staff:admin")
        await happen(ctx, "ada")
        async with delivering(ctx):
            await until(ctx, "SELECT bool_and(queued_at IS NOT NULL) FROM outbox_events")

    assert len(site.requests) == 1
