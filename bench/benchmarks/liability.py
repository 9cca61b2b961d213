"""The liability report of a month, against one aggregate over the same payments, terms and refunds."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import text

from app.db import liability
from app.db.engine.session import Session, Sessions, make_engine, make_sessions
from bench.benchmarks.growth import filled, side
from bench.environment import Environment
from bench.runner import Benchmark, Side
from bench.scale.reports import RULES, SINCE, UNTIL

AGGREGATE = text(
    "SELECT p.currency, sum(p.amount - p.tax), sum(r.amount - r.tax), sum(t.issues_owed)"
    " FROM payments p JOIN terms t ON t.invoice_id = p.invoice_id LEFT JOIN refunds r ON r.payment_id = p.id"
    " GROUP BY p.currency"
)


async def _aggregate(session: Session) -> None:
    (await session.execute(AGGREGATE)).all()


async def _report(session: Session) -> None:
    await liability.totals(session, RULES, [SINCE.through, UNTIL.through])


async def _rolled_back(work: Callable[[Session], Awaitable[None]], sessions: Sessions) -> None:
    async with sessions() as session:
        await work(session)


def _sides(environment: Environment) -> tuple[Side, Side]:
    loop = asyncio.new_event_loop()
    engine = make_engine(filled(environment, "liability", 0), pool_size=1)
    environment.on_exit(lambda: loop.run_until_complete(engine.dispose()))
    sessions = make_sessions(engine)
    report, aggregate = (partial(_rolled_back, work) for work in (_report, _aggregate))
    return partial(side, loop, sessions, report), partial(side, loop, sessions, aggregate)


BENCHMARKS = (
    Benchmark(
        name="liability_vs_aggregate",
        unit="µs",
        description="the liability report of a month, against one aggregate over the same rows",
        sides=_sides,
        figure="time",
    ),
)
