"""
The outbox: what it adds to applying events, and how fast webhooks are delivered.

``apply_with_outbox`` applies one event for each new subscription, in a worker in this process: with the outbox, in which
each writes two events, and without it. ``deliver_vs_httpx`` delivers an event of each of many readers to one endpoint,
against httpx that only posts the same signed body as often at the same time. The receiver runs on the other core.
"""

import asyncio
import contextlib
import gc
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import asyncpg
import httpx2
import uvloop

from app import observability
from app.db import outbox
from app.db.engine.session import Session
from app.domain.outbox import NewOutboxEvent, OutboxReader, OutboxType
from app.domain.webhook_endpoints import compose_secret
from app.gateway.webhook_deliveries import signed
from app.jobs import make_worker
from app.main import open_context
from app.services import catalogue, webhook_endpoints
from app.services.webhook_deliveries import EACH
from app.settings import Settings
from bench import load_generator
from bench.benchmarks.webhook_apply import deliver, events, wait_until_applied
from bench.environment import LOAD_CORE, ROOT, Environment, free_port
from bench.fake_stripe import response_template, with_number
from bench.runner import Benchmark, Side

SUBSCRIPTIONS_PER_SECOND, EVENTS_PER_SECOND = 200, 600  # of a run
LOOPBACK = "127.0.0.0/8"
DATA = {"after": {"features": {name: [{"until": "2027-03-01T00:00:00Z"}] for name in ("archive", "audio", "print")}}}
_NUMBERS = itertools.count(50_000_000)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Any]:
    """Run a worker in this process, and provide its context."""
    observability.configure("ERROR")
    async with open_context(settings, catalogue.load(ROOT / "catalogue.toml")) as ctx:
        task = asyncio.create_task(make_worker(ctx).run())
        try:
            yield ctx
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _record_nothing(_: Session, __: Sequence[NewOutboxEvent]) -> None:
    return None


def _apply_side(environment: Environment, bodies: dict[str, str], settings: Settings, *, recorded: bool) -> Side:
    dsn, customer = environment.migrated_database("outbox"), str(json.loads(bodies["subscriptions"])["customer"])

    async def apply(batch: Sequence[int]) -> list[float]:
        arrivals = [arrival for number in batch for arrival in events(bodies, number, 1)]
        without = contextlib.nullcontext() if recorded else mock.patch.object(outbox, "add", _record_nothing)
        with without:
            async with working(settings):
                started_at = await deliver(dsn, arrivals, [with_number(customer, number) for number in batch])
                return await wait_until_applied(dsn, started_at, len(arrivals))

    def run(seconds: float) -> load_generator.Run:
        batch = list(itertools.islice(_NUMBERS, max(10, int(seconds * SUBSCRIPTIONS_PER_SECOND))))
        gc.collect()
        with environment.on_server_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            elapsed = runner.run(apply(batch))
        return load_generator.Run(len(elapsed) / elapsed[-1], elapsed[int(len(elapsed) * 0.99)], 0.0)

    return run


def _apply(environment: Environment) -> tuple[Side, Side]:
    bodies = response_template(environment)
    settings = Settings(
        database_url=environment.migrated_database("outbox"),
        stripe_url=f"http://{load_generator.HOST}:{environment.fake_stripe(bodies)}",
        stripe_rate_limit=0,
        backlog_threshold=1_000_000,
        log_level="ERROR",
    )
    sides = [_apply_side(environment, bodies, settings, recorded=recorded) for recorded in (True, False)]
    return sides[0], sides[1]


def _deliver_side(environment: Environment, settings: Settings, url: str) -> Side:
    dsn = environment.migrated_database("delivered")

    async def run_once(count: int) -> float:
        async with working(settings) as ctx:
            if not await webhook_endpoints.list_all(ctx):
                await webhook_endpoints.add(ctx, name="bench", url=url, types=[], by="bench")
            numbers = list(itertools.islice(_NUMBERS, count))
            connection = await asyncpg.connect(dsn)
            started_at = time.perf_counter()
            async with ctx.sessions.begin() as session:
                await outbox.add(session, [_event(number) for number in numbers])
            while await connection.fetchval(
                "SELECT EXISTS (SELECT FROM outbox_events WHERE queued_at IS NULL)"
                " OR EXISTS (SELECT FROM webhook_lanes)"
            ):
                await asyncio.sleep(0.02)
            elapsed = time.perf_counter() - started_at
            await connection.close()
            return elapsed

    def run(seconds: float) -> load_generator.Run:
        count = max(10, int(seconds * EVENTS_PER_SECOND))
        gc.collect()
        with environment.on_server_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            elapsed = runner.run(run_once(count))
        return load_generator.Run(count / elapsed, 0.0, 0.0)

    return run


def _event(number: int) -> NewOutboxEvent:
    return NewOutboxEvent(
        type=OutboxType.ENTITLEMENTS_CHANGED, reader=OutboxReader(f"rdr_{number}", f"auth0|{number}"), data=DATA
    )


def _httpx_side(environment: Environment, url: str) -> Side:
    secret = compose_secret(b"x" * 32)

    async def post(numbers: Iterator[int], count: int) -> float:
        limits = httpx2.Limits(max_connections=EACH)
        async with httpx2.AsyncClient(limits=limits) as client:
            left = iter(range(count))

            async def send() -> None:
                for _ in left:
                    body = json.dumps({"id": f"obx_{next(numbers)}", "data": DATA})
                    headers = signed("obx_1", body, [secret], now=datetime.now(UTC))
                    response = await client.post(url, content=body, headers=dict(headers))
                    response.raise_for_status()

            started_at = time.perf_counter()
            await asyncio.gather(*(send() for _ in range(EACH)))
            return time.perf_counter() - started_at

    def run(seconds: float) -> load_generator.Run:
        count = max(10, int(seconds * EVENTS_PER_SECOND))
        gc.collect()
        with environment.on_server_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            elapsed = runner.run(post(_NUMBERS, count))
        return load_generator.Run(count / elapsed, 0.0, 0.0)

    return run


def _deliver(environment: Environment) -> tuple[Side, Side]:
    port = free_port()
    receiver = ["uvicorn", "bench.baselines:bare_asgi", "--no-access-log"]
    environment.process("webhook receiver", receiver, {}, port=port, core=LOAD_CORE)
    url = f"http://{load_generator.HOST}:{port}/"
    settings = Settings(
        database_url=environment.migrated_database("delivered"),
        webhook_networks=LOOPBACK,
        data_dir=environment.folder(),
        log_level="ERROR",
    )
    return _deliver_side(environment, settings, url), _httpx_side(environment, url)


BENCHMARKS = (
    Benchmark(
        name="apply_with_outbox",
        unit="events/s",
        description="apply an event for each new subscription with the outbox, against without",
        sides=_apply,
    ),
    Benchmark(
        name="deliver_vs_httpx",
        unit="events/s",
        description="deliver webhooks, against only posting them with httpx",
        sides=_deliver,
    ),
)
