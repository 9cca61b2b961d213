"""
Applying what Stripe tells: a worker, beside the bare SDK that only fetches the same.

Both ask a Stripe that answers at once (:mod:`bench.standin`) the same two questions about each subscription, with the
limiter off; both are one process on one core, and the stand-in is on the other. A *fetch* is one subscription with its
invoices and their payments. ``apply_vs_fetch``: an event each. ``burst_vs_fetch``: six lifecycle events for each
subscription, mixed, all there when the worker is woken; so its ratio is the events that are applied for each bare fetch.
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

from app.db import inbox
from app.db.engine.leases import CHANNEL
from app.db.inbox import Arrival
from app.gateway import translate
from bench import load
from bench.runner import Bench, Side
from bench.stage import Stage
from bench.standin import of_number, template

CONNECTIONS = 8
ENOUGH = {1: 300, 6: 200}  # subscriptions for each second that is asked for, by events of each
PATIENCE = 60.0  # seconds for the worker to be done, and as many more for a few thousand events
BATCH = 500
BURST = (
    ("customer.subscription.created", "subscription"),
    ("invoice.created", "invoice"),
    ("invoice.finalized", "invoice"),
    ("invoice.paid", "invoice"),
    ("invoice_payment.paid", "invoice_payment"),
    ("customer.subscription.updated", "subscription"),
)


def _objects(bodies: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return what events are about, as the stand-in has it."""
    subscription, invoice = json.loads(bodies["subscriptions"]), json.loads(bodies["invoices"])["data"][0]
    payments = invoice.pop("payments")
    return {"subscription": subscription, "invoice": invoice, "invoice_payment": payments["data"][0]}


def events(bodies: dict[str, str], number: int, each: int) -> Iterator[Arrival]:
    """Give the events of one subscription, as the endpoint takes them in."""
    objects = _objects(bodies)
    for kind, about in BURST[-1:] if each == 1 else BURST:
        event = {
            "id": f"evt_{kind.replace('.', '_')}n{number:08d}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": 1_772_326_802,
            "data": {"object": objects[about]},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        text = of_number(json.dumps(event, indent=2), number)
        yield Arrival(translate.refetch_request(text), text)


async def deliver(dsn: str, arrivals: Sequence[Arrival], customers: Sequence[str]) -> datetime:
    """Put events into the inbox, all at once, and wake the worker. Returns the database's time."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany(
            "INSERT INTO subscribers (id, sub, stripe_customer_id) VALUES ('rdr_' || $1, $1, $1)",
            [(customer,) for customer in customers],
        )
        async with connection.transaction():
            for start in range(0, len(arrivals), BATCH):
                await inbox.store(connection, arrivals[start : start + BATCH])
            await connection.execute(f"NOTIFY {CHANNEL}")
            began: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return began
    finally:
        await connection.close()


async def applied(dsn: str, began: datetime, number: int) -> list[float]:
    """Wait until nothing is due any more. Returns how long each event of this run took."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(PATIENCE * (1 + number / 3000)):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)"):
                await asyncio.sleep(0.05)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM applied_at - $1)::float8 AS took FROM events WHERE applied_at >= $1 ORDER BY 1",
            began,
        )
        if len(rows) != number:
            why = await connection.fetch(
                "SELECT state, reason, last_error FROM events WHERE state <> 'applied' LIMIT 3"
            )
            raise load.BadAnswer(f"{len(rows)} of {number} events were applied: {why}")
        return [row["took"] for row in rows]
    finally:
        await connection.close()


def applying(stage: Stage, bodies: dict[str, str], each: int, numbers: Iterator[int]) -> Side:
    """Return what delivers so many events of each subscription, waits until all are applied, and says how fast they were."""
    dsn, customer = stage.migrated("applied"), str(json.loads(bodies["subscriptions"])["customer"])

    def run(seconds: float) -> load.Run:
        some = list(itertools.islice(numbers, max(2, int(seconds * ENOUGH[each]))))
        arrivals = [arrival for number in some for arrival in events(bodies, number, each)]
        random.Random(some[0]).shuffle(arrivals)
        customers = [of_number(customer, number) for number in some]
        began = asyncio.run(deliver(dsn, arrivals, customers))
        took = asyncio.run(applied(dsn, began, len(arrivals)))
        return load.Run(len(took) / took[-1], took[int(len(took) * 0.99)], 0.0)

    return run


async def _fetch(port: int, seconds: float) -> load.Run:
    http = stripe.AIOHTTPClient()
    sdk = stripe.StripeClient("sk_test_bench", base_addresses={"api": f"http://{load.HOST}:{port}"}, http_client=http)
    late: list[float] = []
    numbers = itertools.count(1)
    started = time.perf_counter()

    async def again_and_again() -> None:
        while (asked := time.perf_counter()) < started + seconds:
            wanted = of_number("sub_0n00000000", next(numbers))
            found, invoices = await asyncio.gather(
                sdk.v1.subscriptions.retrieve_async(wanted),
                sdk.v1.invoices.list_async({"subscription": wanted, "expand": ["data.payments"], "limit": 100}),
            )
            if found.id != wanted or not invoices.data:
                raise load.BadAnswer(f"{found.id} came for {wanted}")
            late.append(time.perf_counter() - asked)

    worked = time.thread_time()
    try:
        await asyncio.gather(*(again_and_again() for _ in range(CONNECTIONS)))
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]
    took = time.perf_counter() - started
    late.sort()
    return load.Run(len(late) / took, late[int(len(late) * 0.99)], (time.thread_time() - worked) / took)


def _fetching(stage: Stage, port: int) -> Side:
    def run(seconds: float) -> load.Run:
        gc.collect()
        with stage.on_the_servers_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_fetch(port, seconds))

    return run


_NUMBERS = itertools.count(1)  # no subscription is applied twice


def _sides(each: int, stage: Stage) -> tuple[Side, Side]:
    bodies = template(stage)
    port = stage.standin(bodies)
    stage.worker(stage.migrated("applied"), f"http://{load.HOST}:{port}")
    return applying(stage, bodies, each, _NUMBERS), _fetching(stage, port)


BENCHES = (
    Bench(
        name="apply_vs_fetch",
        unit="events/s",
        what="applying an event for each subscription, beside the bare SDK that only fetches as much",
        sides=partial(_sides, 1),
    ),
    Bench(
        name="burst_vs_fetch",
        unit="events/s",
        what="applying a burst of six events for each subscription, mixed, beside the bare SDK's fetches",
        sides=partial(_sides, 6),
    ),
)
