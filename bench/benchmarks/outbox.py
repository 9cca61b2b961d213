"""
The outbox: what it adds to applying events, and how fast webhooks are delivered.

``apply_with_outbox`` applies one event for each new subscription, in a worker in this process: with the outbox, in which
each writes two events, and without it, in turns. ``deliver_vs_httpx`` delivers an event of each of many readers to one
endpoint, against httpx that only posts the same signed body as often at the same time. The receiver runs on the other core.
``deliver_beside_dead`` does so while another endpoint refuses all connections. What it doesn't get stays, so that it has
thousands of pending deliveries after a few runs, against without it.
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
BATCH = 100  # subscriptions of a turn
LOOPBACK = "127.0.0.0/8"
DEAD = f"http://{load_generator.HOST}:9/"  # nobody listens
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


class _Turns:
    """
    Applies small batches with the outbox and without it in turns, in one worker.

    What the machine does meanwhile slows both down alike, and neither side pays for the start of a worker or for what the
    other one left to do: after a batch with the outbox, nobody is timed until its last events are queued. So all queueing
    counts that happens while events are applied, and the last slice of a batch doesn't.
    """

    def __init__(self, dsn: str, bodies: dict[str, str], settings: Settings) -> None:
        self._dsn, self._bodies, self._settings = dsn, bodies, settings
        self._customer = str(json.loads(bodies["subscriptions"])["customer"])
        self._other: dict[bool, load_generator.Run] = {}  # measured together with the last one

    def side(self, environment: Environment, *, recorded: bool) -> Side:
        """Return the side with the outbox, or the one without it. Whichever is first runs both."""

        def run(seconds: float) -> load_generator.Run:
            if recorded not in self._other:
                gc.collect()
                with environment.on_server_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    self._other = runner.run(self._run_both(seconds))
            return self._other.pop(recorded)

        return run

    async def _run_both(self, seconds: float) -> dict[bool, load_generator.Run]:
        turns = max(1, round(seconds * SUBSCRIPTIONS_PER_SECOND / BATCH / 2))
        times: dict[bool, list[float]] = {True: [], False: []}
        last: dict[bool, float] = dict.fromkeys(times, 0.0)
        async with working(self._settings):
            for number in range(2 * turns + 2):
                recorded = number % 4 in {0, 3}  # with, without, without, with
                elapsed = await self._apply(recorded=recorded)
                if number >= 2:  # the first of each are a warm-up
                    times[recorded] += elapsed
                    last[recorded] += elapsed[-1]
        return {
            recorded: load_generator.Run(len(its) / last[recorded], sorted(its)[int(len(its) * 0.99)], 0.0)
            for recorded, its in times.items()
        }

    async def _apply(self, *, recorded: bool) -> list[float]:
        """Apply a batch, and wait until its events are queued. Return the seconds until each event was applied."""
        batch = list(itertools.islice(_NUMBERS, BATCH))
        arrivals = [arrival for number in batch for arrival in events(self._bodies, number, 1)]
        without = contextlib.nullcontext() if recorded else mock.patch.object(outbox, "add", _record_nothing)
        with without:
            customers = [with_number(self._customer, number) for number in batch]
            started_at = await deliver(self._dsn, arrivals, customers)
            elapsed = await wait_until_applied(self._dsn, started_at, len(arrivals))
        connection = await asyncpg.connect(self._dsn)
        try:
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox_events WHERE queued_at IS NULL)"):
                await asyncio.sleep(0.02)
        finally:
            await connection.close()
        return elapsed


def _apply(environment: Environment) -> tuple[Side, Side]:
    bodies = response_template(environment)
    dsn = environment.migrated_database("outbox")
    settings = Settings(
        database_url=dsn,
        stripe_url=f"http://{load_generator.HOST}:{environment.fake_stripe(bodies)}",
        stripe_rate_limit=0,
        backlog_threshold=1_000_000,
        log_level="ERROR",
    )
    turns = _Turns(dsn, bodies, settings)
    return turns.side(environment, recorded=True), turns.side(environment, recorded=False)


def _deliver_side(environment: Environment, database: str, receiver: str, *others: str) -> Side:
    dsn = environment.migrated_database(database)
    settings = Settings(database_url=dsn, webhook_networks=LOOPBACK, data_dir=environment.folder(), log_level="ERROR")

    async def run_once(count: int) -> float:
        async with working(settings) as ctx:
            if not await webhook_endpoints.list_all(ctx):
                for url in (receiver, *others):
                    await webhook_endpoints.add(ctx, name="bench", url=url, types=[], by="bench")
            numbers = list(itertools.islice(_NUMBERS, count))
            connection = await asyncpg.connect(dsn)
            started_at = time.perf_counter()
            async with ctx.sessions.begin() as session:
                await outbox.add(session, [_event(number) for number in numbers])
            while await connection.fetchval(
                "SELECT EXISTS (SELECT FROM outbox_events WHERE queued_at IS NULL)"
                " OR EXISTS (SELECT FROM webhook_lanes JOIN webhook_endpoints w ON w.id = endpoint_id WHERE w.url = $1)",
                receiver,
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


def _receiver(environment: Environment) -> str:
    """Start a receiver, and return its URL."""
    port = free_port()
    receiver = ["uvicorn", "bench.baselines:bare_asgi", "--no-access-log"]
    environment.process(f"webhook receiver {port}", receiver, {}, port=port, core=LOAD_CORE)
    return f"http://{load_generator.HOST}:{port}/"


def _deliver(environment: Environment) -> tuple[Side, Side]:
    url = _receiver(environment)
    return _deliver_side(environment, "delivered", url), _httpx_side(environment, url)


def _deliver_beside_dead(environment: Environment) -> tuple[Side, Side]:
    url = _receiver(environment)
    return _deliver_side(environment, "beside_dead", url, DEAD), _deliver_side(environment, "alone", url)


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
    Benchmark(
        name="deliver_beside_dead",
        unit="events/s",
        description="deliver webhooks while another endpoint is dead, against without it",
        sides=_deliver_beside_dead,
    ),
)
