"""
A quote's whole cost, beside the bare reads by key that it needs: its payment, subscription and term, the term's
adjustments, the reader's refunds and disputes, and which edition of the calendar holds.

A million terms, each with its payment and subscription, and two years of issues in the calendar: what was served is
reckoned by bisection, so no issue is read for a quote. Every twentieth payment went back in part, every twentieth term was
extended, and every two-hundredth payment was disputed; both sides read what there is.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg

from app.db.engine.session import make_engine, make_sessions
from app.domain.plans import AccessPolicy
from app.domain.rules import Rules
from app.services import catalogue, quotes
from app.settings import Settings
from bench.load import Run
from bench.runner import Bench, Side
from bench.stage import ROOT, Stage

NOW = datetime(2026, 11, 1, tzinfo=UTC)  # beyond the guarantee of every term
_BARE = (
    ("SELECT * FROM payments WHERE id = $1", "pi_"),
    ("SELECT * FROM subscriptions WHERE id = $1", "scr_"),
    ("SELECT * FROM terms WHERE invoice_id = $1", "in_"),
    ("SELECT * FROM issue_adjustments WHERE invoice_id = $1", "in_"),
    ("SELECT * FROM refunds WHERE subscriber_id = $1", "rdr_"),
    ("SELECT * FROM disputes WHERE subscriber_id = $1", "rdr_"),
)
_EDITION = "SELECT token FROM calendar_edition WHERE id"


async def _timed(one: Callable[[int], Awaitable[Any]], terms: int, seconds: float) -> Run:
    numbers = random.Random(terms)
    until, took = time.perf_counter() + seconds, []
    for _ in itertools.count():
        begun = time.perf_counter()
        await one(numbers.randrange(terms))
        took.append(time.perf_counter() - begun)
        if begun >= until:
            break
    return Run(rate=len(took) / sum(took), p99=sorted(took)[int(len(took) * 0.99)], busy=0.0)


def _rules() -> Rules:
    zone = Settings().zone
    access = AccessPolicy(renewal_allowance=timedelta(days=3), grace_period=timedelta(days=14), zone=zone)
    return Rules(catalogue=catalogue.load(ROOT / "catalogue.toml"), access=access, zone=zone)


def _sides(stage: Stage) -> tuple[Side, Side]:
    dsn, terms, rules = stage.books(), stage.readers, _rules()

    async def ours(seconds: float) -> Run:
        engine = make_engine(dsn, pool_size=1)
        sessions = make_sessions(engine)

        async def quote(number: int) -> None:
            found = await quotes.of_payment(sessions, rules, f"pi_{number}", now=NOW)
            assert found[1].progress is not None

        await quote(0)
        run = await _timed(quote, terms, seconds)
        await engine.dispose()
        return run

    async def bare(seconds: float) -> Run:
        connection = await asyncpg.connect(dsn)

        async def read(number: int) -> None:
            for statement, prefix in _BARE:
                await connection.fetch(statement, f"{prefix}{number}")
            await connection.fetch(_EDITION)

        await read(0)
        run = await _timed(read, terms, seconds)
        await connection.close()
        return run

    return partial(_run, ours), partial(_run, bare)


def _run(side: Callable[[float], Any], seconds: float) -> Run:
    run: Run = asyncio.run(side(seconds))
    return run


BENCHES = [
    Bench(
        name="quote_vs_query",
        unit="us a quote",
        what="a quote on every basis, beside the bare reads by key that it needs",
        sides=_sides,
        time=True,
    )
]
