"""
Freezing and streaming the labels of an issue that every reader gets.

``label_freeze_vs_insert`` freezes a run, against an ``INSERT … SELECT`` of the same rows from a table: at most 3.
``labels_vs_copy`` streams its file, against a bare ``COPY`` of the same rows: at most 2. It prints the memory, too.
``labels_growth`` does both for each copy, against a database with a tenth of the readers: at most 1.2.

Frozen runs are rolled back, and the table is vacuumed, so that each freeze meets the same table.
"""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import asyncpg

from app.db import label_runs
from app.db.engine.copying import CsvExports
from app.db.engine.pool import Pool, open_pool
from app.db.engine.session import Sessions, make_engine, make_sessions
from app.db.label_runs import Selection
from app.domain.circulation import BasicPrice, CountingRules
from app.domain.label_runs import Counts, LabelRun
from app.domain.postage import DEFAULT_COLUMNS
from bench.environment import Environment
from bench.load_generator import Run
from bench.runner import Benchmark, Side

ISSUE, RUN, KEPT, BEFORE = 20, "lbl_new", "lbl_kept", "lbl_before"
CLOSED = datetime(2026, 6, 2, 5, tzinfo=UTC)
MAILED = date(2026, 6, 9)
TENTH = 10
SELECTION = Selection(
    issue_number=ISSUE,
    closes=CLOSED,
    through=CLOSED,
    keeps_ended=True,
    mail_date=MAILED,
    served={"US": "domestic", "CA": "canada"},
    previous=[BEFORE],
)
COUNTING = CountingRules(
    mailed_from="US",
    county=["627"],
    other_mail=["canada"],
    prices=[BasicPrice(plan="annual", currency="usd", both_editions=7300, digital=4900)],
    paid_percent=30,
)
READERS = """
SET session_replication_role = replica; SET synchronous_commit = off;
INSERT INTO subscribers (id, sub, name)
SELECT 'rdr_' || k, 'reader-' || k, 'Ada Invented ' || k FROM generate_series(1, {n}) k;
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, work_key)
SELECT 'scr_' || md5(k::text), 'sub_' || k, 'rdr_' || k, 1, 'annual', {print_edition}, 'active', 4900, 'usd', '2026-01-01',
    'subscription:sub_' || k FROM generate_series(1, {n}) k;
INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed, copies, expire)
SELECT 'in_' || k, 'scr_' || md5(k::text), 'annual', {print_edition}, '2026-01-01', '2027-01-01', 24, '{{[10,34)}}', 33
FROM generate_series(1, {n}) k;
INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)
SELECT 'pi_' || k, 'in_' || k, 'scr_' || md5(k::text), 7880, 580, 'usd', '2026-01-01', 'subscription_create'
FROM generate_series(1, {n}) k;
"""
PRINT_READERS = """
INSERT INTO postal_addresses (id, subscriber_id, name, company, line1, line2, district, city, region, postal_code, country,
    lines, problems, is_usable, saved_at, work_key)
SELECT 'adr_' || k, 'rdr_' || k, 'Ada Invented ' || k, '', k || ' Lantern Street', '', '', 'City ' || k % 9973, 'IL',
    lpad((k::bigint * 7919 % 99991)::text, 5, '0'), CASE WHEN k % 20 = 0 THEN 'CA' ELSE 'US' END,
    ARRAY['Ada Invented ' || k, k || ' Lantern Street', 'CITY, IL'], ARRAY[]::text[], true, '2026-01-01',
    'address:rdr_' || k
FROM generate_series(1, {n}) k;
INSERT INTO labels (run_id, position, issue_number, subscription_id, term, address_id, kind, claim_id, name, line1, country,
    lines, band, control, flags)
SELECT '{before}', k, {issue} - 1, 'scr_' || md5(k::text), 'in_' || k, 'adr_' || k, 'copy', '', 'Ada Invented ' || k,
    k || ' Lantern Street', 'US', ARRAY['Ada Invented ' || k], 'domestic', k % 1000000, 0 FROM generate_series(1, {n}) k;
"""
INSERT = "INSERT INTO labels SELECT * FROM same_labels ORDER BY position"
COPY = (
    "SELECT position, subscription_id, name, company, line1, line2, district, city, region, postal_code, country, band,"
    " kind, flags & 1, flags & 2, flags & 4, flags & 8, expire, control FROM same_labels ORDER BY position"
)


@dataclass(slots=True)
class Labels:
    """A database in which each of ``readers`` is owed the issue."""

    environment: Environment
    readers: int
    dsn: str
    loop: asyncio.AbstractEventLoop
    sessions: Sessions
    pool: Pool
    run: LabelRun

    @classmethod
    def of(cls, environment: Environment, name: str, readers: int) -> "Labels":
        """Fill a database, and keep the labels of the issue in a table of their own."""
        dsn, loop = environment.migrated_database(name), asyncio.new_event_loop()
        environment.report(f"Inserting {readers:,} readers with print ...")
        engine = make_engine(dsn, pool_size=1)
        environment.on_exit(lambda: loop.run_until_complete(engine.dispose()))
        made = cls(
            environment=environment,
            readers=readers,
            dsn=dsn,
            loop=loop,
            sessions=make_sessions(engine),
            pool=loop.run_until_complete(open_pool(dsn, size=1, pooler=False)),
            run=_run_of(KEPT),
        )
        environment.on_exit(lambda: loop.run_until_complete(made.pool.close()))
        loop.run_until_complete(made.fill())
        return made

    async def fill(self) -> None:
        """Insert the readers, and freeze the run whose file is streamed."""
        seed = READERS + PRINT_READERS
        await self.execute(seed.format(n=self.readers, print_edition=True, before=BEFORE, issue=ISSUE))
        await self.execute("VACUUM ANALYZE")
        async with self.sessions.begin() as session:
            counts = await label_runs.freeze(session, KEPT, SELECTION, COUNTING)
        assert counts.copies == self.readers
        await self.execute(
            f"CREATE TABLE same_labels AS SELECT * FROM labels WHERE run_id = '{KEPT}';"
            f" CREATE UNIQUE INDEX ON same_labels (run_id, position); UPDATE labels SET issue_number = {ISSUE} + 1"
            f" WHERE run_id = '{KEPT}'; UPDATE same_labels SET run_id = '{RUN}'"
        )
        await self.execute("VACUUM ANALYZE")

    async def execute(self, statements: str) -> None:
        """Run statements on a connection of their own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def freeze(self) -> float:
        """Freeze the run, take it back, and return how long freezing took."""
        async with self.sessions() as session:
            began_at = time.perf_counter()
            await label_runs.freeze(session, RUN, SELECTION, COUNTING)
            elapsed = time.perf_counter() - began_at
            await session.rollback()
        await self.execute("VACUUM labels")
        return elapsed

    async def insert(self) -> float:
        """Insert the same rows from a table, take them back, and return how long inserting took."""
        connection = await asyncpg.connect(self.dsn)
        transaction = connection.transaction()
        await transaction.start()
        began_at = time.perf_counter()
        await connection.execute(INSERT)
        elapsed = time.perf_counter() - began_at
        await transaction.rollback()
        await connection.close()
        await self.execute("VACUUM labels")
        return elapsed

    async def stream(self) -> float:
        """Stream the file of the run, and return how long that took."""
        began_at = time.perf_counter()
        async for _ in await label_runs.csv(CsvExports(self.pool), self.run):
            pass
        return time.perf_counter() - began_at

    async def copy(self) -> float:
        """Copy the same rows, and return how long that took."""

        async def ignore(_: bytes) -> None:
            return None

        began_at = time.perf_counter()
        async with self.pool.acquire() as connection:
            await connection.copy_from_query(COPY, output=ignore, format="csv", header=True)
        return time.perf_counter() - began_at

    async def both(self) -> float:
        """Freeze and stream, and return how long that took."""
        return await self.freeze() + await self.stream()

    def side(self, work: Callable[[], Awaitable[float]], seconds: float) -> Run:
        """Repeat a piece of work, which is about each reader once."""

        async def repeat() -> Run:
            taken = [await work()]
            while sum(taken) < seconds:
                taken.append(await work())
            return Run(rate=self.readers * len(taken) / sum(taken), p99=max(taken), load_use=0.0)

        return self.loop.run_until_complete(repeat())

    def streamed(self, seconds: float) -> Run:
        """Stream, and report the memory of this process."""
        run = self.side(self.stream, seconds)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.environment.report(f"  memory of the process while streaming: at most {megabytes:,.0f} MB")
        return run


def _run_of(run_id: str) -> LabelRun:
    return LabelRun(
        id=run_id,
        issue_number=ISSUE,
        number=0,
        as_of=CLOSED,
        mail_date=MAILED,
        frozen_at=CLOSED,
        frozen_by="staff:circulation",
        counts=Counts(copies=0, control_sum=0, bands=(), flags={}),
        columns=DEFAULT_COLUMNS,
    )


def _freeze_sides(environment: Environment) -> tuple[Side, Side]:
    labels = Labels.of(environment, "labels_frozen", environment.readers)
    return partial(labels.side, labels.freeze), partial(labels.side, labels.insert)


def _stream_sides(environment: Environment) -> tuple[Side, Side]:
    labels = Labels.of(environment, "labels_streamed", environment.readers)
    return labels.streamed, partial(labels.side, labels.copy)


def _growth_sides(environment: Environment) -> tuple[Side, Side]:
    many = Labels.of(environment, "labels_many", environment.readers)
    few = Labels.of(environment, "labels_few", max(1, environment.readers // TENTH))
    return partial(many.side, many.both), partial(few.side, few.both)


BENCHMARKS = (
    Benchmark(
        name="label_freeze_vs_insert",
        unit="µs",
        description="freeze a copy of a label run, against inserting the same row from a table",
        sides=_freeze_sides,
        figure="time",
    ),
    Benchmark(
        name="labels_vs_copy",
        unit="µs",
        description="stream a line of a label file, against a bare COPY of the same row",
        sides=_stream_sides,
        figure="time",
    ),
    Benchmark(
        name="labels_growth",
        unit="µs",
        description="freeze and stream a copy, against the same with a tenth of the readers",
        sides=_growth_sides,
        figure="time",
    ),
)
