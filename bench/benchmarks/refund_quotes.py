"""
Refund quotes, against the queries that a quote needs: the payment, subscription and term, the term's adjustments, the
reader's refunds and disputes, and the edition of the issue calendar.

There are a million terms, each with a payment and a subscription, and two years of issues. The served issues are found by
bisection of the cached calendar, so a quote reads no issues. One payment in 20 is partly refunded, one term in 20 is
extended, and one payment in 200 is disputed.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
from pydantic import SecretStr

from app import main
from app.services import catalogue, quotes
from app.settings import Settings
from bench.environment import ROOT, Environment
from bench.load_generator import Run
from bench.runner import Benchmark, Side

NOW = datetime(2026, 11, 1, tzinfo=UTC)  # after the guarantee of every term
_QUERIES = (
    ("SELECT * FROM payments WHERE id = $1", "pi_"),
    ("SELECT * FROM subscriptions WHERE id = $1", "scr_"),
    ("SELECT * FROM terms WHERE invoice_id = $1", "in_"),
    ("SELECT * FROM issue_adjustments WHERE invoice_id = $1", "in_"),
    ("SELECT * FROM refunds WHERE subscriber_id = $1", "rdr_"),
    ("SELECT * FROM disputes WHERE subscriber_id = $1", "rdr_"),
)
_EDITION = "SELECT token FROM calendar_edition WHERE id"


async def _measure(operation: Callable[[int], Awaitable[Any]], terms: int, seconds: float) -> Run:
    """Run an operation for random terms."""
    numbers = random.Random(terms)
    deadline, latencies = time.perf_counter() + seconds, []
    for _ in itertools.count():
        started_at = time.perf_counter()
        await operation(numbers.randrange(terms))
        latencies.append(time.perf_counter() - started_at)
        if started_at >= deadline:
            break
    return Run(rate=len(latencies) / sum(latencies), p99=sorted(latencies)[int(len(latencies) * 0.99)], load_use=0.0)


def _sides(environment: Environment) -> tuple[Side, Side]:
    dsn, terms = environment.history_database(), environment.readers
    settings = Settings(database_url=SecretStr(dsn), database_pool_size=1)

    async def service(seconds: float) -> Run:
        async with main.open_context(settings, catalogue.load(ROOT / "catalogue.toml")) as ctx:

            async def quote(number: int) -> None:
                found = await quotes.of_payment(ctx, f"pi_{number}", now=NOW)
                assert found[1].progress is not None

            await quote(0)
            return await _measure(quote, terms, seconds)

    async def queries(seconds: float) -> Run:
        connection = await asyncpg.connect(dsn)

        async def read(number: int) -> None:
            for statement, prefix in _QUERIES:
                await connection.fetch(statement, f"{prefix}{number}")
            await connection.fetch(_EDITION)

        await read(0)
        run = await _measure(read, terms, seconds)
        await connection.close()
        return run

    return partial(_run, service), partial(_run, queries)


def _run(side: Callable[[float], Any], seconds: float) -> Run:
    run: Run = asyncio.run(side(seconds))
    return run


BENCHMARKS = [
    Benchmark(
        name="quote_vs_query",
        unit="µs/quote",
        description="a refund quote, against the queries that it needs",
        sides=_sides,
        figure="time",
    )
]
