"""Create many subscribers at Stripe and in the database, and run workers to sync them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.settings import Settings
from tests.support.commands import Command
from tests.support.processes import environment
from tests.support.shop import Shop

CONCURRENCY = 8


async def create_subscribers(shop: Shop, size: int, *, clock: str | None = None) -> list[str]:
    """
    Create subscribers, each with a paid subscription. Return the Stripe IDs.

    No webhooks are delivered from now on: see :func:`add_events`.
    """
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    prices = (await shop.stripe_get("/v1/prices", product="newsstand_annual_digital"))["data"]
    on_clock = {"test_clock": clock} if clock else {}

    async def one(number: int) -> tuple[str, str]:
        customer = await shop.stripe_post("/v1/customers", email=f"reader-{number}@example.com", **on_clock)
        card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
        bought = await shop.stripe_post(
            "/v1/subscriptions",
            customer=customer["id"],
            default_payment_method=card["id"],
            **{"items[0][price]": prices[0]["id"]},
        )
        return customer["id"], bought["id"]

    made: list[tuple[str, str]] = []
    for start in range(0, size, CONCURRENCY):
        made += await asyncio.gather(*(one(number) for number in range(start, min(start + CONCURRENCY, size))))
    connection = await asyncpg.connect(shop.dsn)
    try:
        await connection.executemany(
            "INSERT INTO subscribers (id, sub, stripe_customer_id) VALUES ('rdr_' || $1, 'reader-' || $1, $1)",
            [(customer,) for customer, _ in made],
        )
    finally:
        await connection.close()
    return [bought for _, bought in made]


async def add_events(shop: Shop, ids: Sequence[str], *, each: int = 1, batch: int = 0) -> None:
    """Add events about subscriptions to the inbox in one transaction. Each batch has other events."""
    connection = await asyncpg.connect(shop.dsn)
    rows = [(f"evt_{batch}_{n}_{stripe_id}", f"subscription:{stripe_id}") for stripe_id in ids for n in range(each)]
    try:
        async with connection.transaction():
            await connection.executemany(
                "INSERT INTO events (id, type, state, payload, work_key, due_at)"
                " VALUES ($1, 'customer.subscription.updated', 'received', '{}', $2, now())",
                rows,
            )
            await connection.execute("NOTIFY newsstand_work")
    finally:
        await connection.close()


async def rate_limit_counts(shop: Shop) -> dict[str, Any]:
    """Return how many requests the local Stripe accepted and rejected, without those for the time of the test clock."""
    counts = dict((await shop.stripe.get("/_sandbox/limits")).json())
    counts["refused"] -= sum(
        endpoint["refused"] for path, endpoint in counts["endpoints"].items() if "/test_helpers/" in path
    )
    return counts


@asynccontextmanager
async def worker_process(settings: Settings) -> AsyncIterator[Command]:
    """Run ``newsstand worker`` in its own process."""
    process = Command(["worker"], environment(settings))
    try:
        yield process
    finally:
        process.kill()
