"""
Applying Stripe events: a worker, against the plain SDK that only fetches the same objects.

For each subscription both make the same two requests to a fake Stripe (:mod:`bench.fake_stripe`), which runs on the other
core. Both are a single process without a rate limit. A *fetch* is one subscription with its invoices and their payments.
``apply_vs_fetch`` has one event per subscription. ``burst_vs_fetch`` has six lifecycle events per subscription, shuffled
and all stored before the worker wakes, so its ratio is the number of events applied per plain fetch.
"""

import asyncio
import gc
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import stripe
import uvloop

from app.db import inbox_writer
from app.db.engine.leases import CHANNEL
from app.db.inbox_writer import ReceivedEvent
from app.gateway.events import refetch_request
from bench import load_generator
from bench.environment import Environment
from bench.fake_stripe import response_template, with_number
from bench.runner import Benchmark, Side

CONNECTIONS = 8
SUBSCRIPTIONS_PER_SECOND = {1: 300, 6: 200}  # subscriptions for each second of a run, by events per subscription
APPLY_TIMEOUT = 60.0  # seconds, plus as many for each 3,000 events
INSERT_BATCH = 500  # events
EVENT_TYPES = (  # of a new subscription, with the type of the object
    ("customer.subscription.created", "subscription"),
    ("invoice.created", "invoice"),
    ("invoice.finalized", "invoice"),
    ("invoice.paid", "invoice"),
    ("invoice_payment.paid", "invoice_payment"),
    ("customer.subscription.updated", "subscription"),
)


def _objects(bodies: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the objects of the events, by type, as the fake Stripe has them."""
    subscription, invoice = json.loads(bodies["subscriptions"]), json.loads(bodies["invoices"])["data"][0]
    payments = invoice.pop("payments")
    return {"subscription": subscription, "invoice": invoice, "invoice_payment": payments["data"][0]}


def events(bodies: dict[str, str], number: int, per_subscription: int) -> Iterator[ReceivedEvent]:
    """Yield the events of one subscription, as the webhook endpoint stores them."""
    objects = _objects(bodies)
    for event_type, object_type in EVENT_TYPES[-1:] if per_subscription == 1 else EVENT_TYPES:
        event = {
            "id": f"evt_{event_type.replace('.', '_')}n{number:08d}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": 1_772_326_802,
            "data": {"object": objects[object_type]},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event_type,
        }
        text = with_number(json.dumps(event, indent=2), number)
        yield ReceivedEvent(refetch_request(text), text)


async def deliver(dsn: str, arrivals: Sequence[ReceivedEvent], customers: Sequence[str]) -> datetime:
    """Insert events into the inbox in one transaction, and wake the worker. Return the database's time."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany(
            "INSERT INTO subscribers (id, sub, stripe_customer_id) VALUES ('rdr_' || $1, $1, $1)",
            [(customer,) for customer in customers],
        )
        async with connection.transaction():
            for start in range(0, len(arrivals), INSERT_BATCH):
                await inbox_writer.insert(connection, arrivals[start : start + INSERT_BATCH])
            await connection.execute(f"NOTIFY {CHANNEL}")
            started_at: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return started_at
    finally:
        await connection.close()


async def wait_until_applied(dsn: str, started_at: datetime, number: int) -> list[float]:
    """Wait until no events are due. Return the seconds until each event of this run was applied, in order."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(APPLY_TIMEOUT * (1 + number / 3000)):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)"):
                await asyncio.sleep(0.05)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM applied_at - $1)::float8 AS elapsed FROM events WHERE applied_at >= $1 ORDER BY 1",
            started_at,
        )
        if len(rows) != number:
            failed = await connection.fetch(
                "SELECT state, reason, last_error FROM events WHERE state <> 'applied' LIMIT 3"
            )
            raise load_generator.BadResponse(f"{len(rows)} of {number} events were applied; failed: {failed}")
        return [row["elapsed"] for row in rows]
    finally:
        await connection.close()


def worker_side(
    environment: Environment, bodies: dict[str, str], per_subscription: int, numbers: Iterator[int]
) -> Side:
    """Return a side that inserts events for new subscriptions and measures how fast the worker applies them."""
    dsn, customer = environment.migrated_database("applied"), str(json.loads(bodies["subscriptions"])["customer"])

    def run(seconds: float) -> load_generator.Run:
        batch = list(itertools.islice(numbers, max(2, int(seconds * SUBSCRIPTIONS_PER_SECOND[per_subscription]))))
        arrivals = [arrival for number in batch for arrival in events(bodies, number, per_subscription)]
        random.Random(batch[0]).shuffle(arrivals)
        customers = [with_number(customer, number) for number in batch]
        started_at = asyncio.run(deliver(dsn, arrivals, customers))
        elapsed = asyncio.run(wait_until_applied(dsn, started_at, len(arrivals)))
        return load_generator.Run(len(elapsed) / elapsed[-1], elapsed[int(len(elapsed) * 0.99)], 0.0)

    return run


async def _fetch(port: int, seconds: float) -> load_generator.Run:
    http = stripe.AIOHTTPClient()
    sdk = stripe.StripeClient(
        "sk_test_bench", base_addresses={"api": f"http://{load_generator.HOST}:{port}"}, http_client=http
    )
    latencies: list[float] = []
    numbers = itertools.count(1)
    started_at = time.perf_counter()

    async def fetch_repeatedly() -> None:
        while (sent_at := time.perf_counter()) < started_at + seconds:
            stripe_id = with_number("sub_0n00000000", next(numbers))
            subscription, invoices = await asyncio.gather(
                sdk.v1.subscriptions.retrieve_async(stripe_id),
                sdk.v1.invoices.list_async({"subscription": stripe_id, "expand": ["data.payments"], "limit": 100}),
            )
            if subscription.id != stripe_id or not invoices.data:
                raise load_generator.BadResponse(f"expected {stripe_id}, got {subscription.id}")
            latencies.append(time.perf_counter() - sent_at)

    cpu_started_at = time.thread_time()
    try:
        await asyncio.gather(*(fetch_repeatedly() for _ in range(CONNECTIONS)))
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]
    elapsed = time.perf_counter() - started_at
    latencies.sort()
    cpu_time = time.thread_time() - cpu_started_at
    return load_generator.Run(len(latencies) / elapsed, latencies[int(len(latencies) * 0.99)], cpu_time / elapsed)


def _sdk_side(environment: Environment, port: int) -> Side:
    def run(seconds: float) -> load_generator.Run:
        gc.collect()
        with environment.on_server_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_fetch(port, seconds))

    return run


_NUMBERS = itertools.count(1)  # each subscription is used once


def _sides(per_subscription: int, environment: Environment) -> tuple[Side, Side]:
    bodies = response_template(environment)
    port = environment.fake_stripe(bodies)
    environment.worker(environment.migrated_database("applied"), f"http://{load_generator.HOST}:{port}")
    return worker_side(environment, bodies, per_subscription, _NUMBERS), _sdk_side(environment, port)


BENCHMARKS = (
    Benchmark(
        name="apply_vs_fetch",
        unit="events/s",
        description="apply one event per subscription, against only fetching with the SDK",
        sides=partial(_sides, 1),
    ),
    Benchmark(
        name="burst_vs_fetch",
        unit="events/s",
        description="apply six events per subscription, against only fetching with the SDK",
        sides=partial(_sides, 6),
    ),
)
