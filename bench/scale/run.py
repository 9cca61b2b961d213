"""Run the queries, and explain each statement that they execute, in a transaction that is rolled back."""

from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import event

from app.db.engine.session import make_engine, make_sessions
from bench.scale.by_key import BY_KEY
from bench.scale.derivations import DERIVATIONS
from bench.scale.evidence import EVIDENCE
from bench.scale.fill import Size
from bench.scale.labels import LABELS
from bench.scale.lists import HEALTH, LISTS, READERS
from bench.scale.notifications import NOTIFICATIONS
from bench.scale.personal_data import PERSONAL_DATA
from bench.scale.plans import Explained, explain
from bench.scale.price_migrations import PRICE_MIGRATIONS
from bench.scale.print_changes import PRINT_CHANGES
from bench.scale.reports import REPORTS
from bench.scale.subject import Query, Subject
from bench.scale.webhooks import WEBHOOKS
from bench.scale.work import WORK

QUERIES: tuple[Query, ...] = (
    *LISTS,
    *READERS,
    *HEALTH,
    *WORK,
    *DERIVATIONS,
    *LABELS,
    *NOTIFICATIONS,
    *EVIDENCE,
    *PRICE_MIGRATIONS,
    *PRINT_CHANGES,
    *REPORTS,
    *WEBHOOKS,
    *BY_KEY,
    *PERSONAL_DATA,
)


class OneConnection:
    """Takes the place of a pool, so that what runs on it is in a transaction that is rolled back."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        """Return a method of the connection."""
        return getattr(self._connection, name)

    def acquire(self, **_: object) -> "_Acquired":
        """Return what gives the connection, awaited or as a context."""
        return _Acquired(self._connection)

    async def release(self, _: object) -> None:
        """Keep the connection."""


class _Acquired:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    def __await__(self) -> "Generator[Any, None, asyncpg.Connection[asyncpg.Record]]":
        return self.__aenter__().__await__()

    async def __aenter__(self) -> "asyncpg.Connection[asyncpg.Record]":
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The statements of a query, explained."""

    query: Query
    explained: Sequence[Explained]

    @property
    def milliseconds(self) -> float:
        """The time of all statements."""
        return sum(one.milliseconds for one in self.explained)

    @property
    def findings(self) -> list[str]:
        """What is wrong, unless the query has a reason to read a whole table."""
        if self.query.reads_all is not None:
            return []
        return [f"{self.query}: {found}" for one in self.explained for found in one.findings]


async def explain_all(dsn: str, size: Size, queries: Iterable[Query] = QUERIES) -> AsyncIterator[Report]:
    """Run each query and yield its report."""
    engine = make_engine(dsn, pool_size=2)
    connection = await asyncpg.connect(dsn)
    statements: list[tuple[str, Sequence[object]]] = []

    def on_session_query(_: object, __: object, statement: str, parameters: Sequence[object], *___: object) -> None:
        first = parameters[0] if parameters and isinstance(parameters[0], tuple) else parameters
        statements.append((statement, first))

    event.listen(engine.sync_engine, "before_cursor_execute", on_session_query)
    connection.add_query_logger(lambda found: statements.append((found.query, found.args)))
    try:
        for query in queries:
            async with make_sessions(engine)() as session, _rolled_back(connection):
                statements.clear()
                subject = Subject(
                    session=session,
                    sessions=make_sessions(engine),
                    pool=OneConnection(connection),
                    size=size,
                    now=datetime.now(UTC),
                )
                await query.run(subject)
                await session.rollback()
            recorded = [one for one in statements if one[0] not in ("BEGIN;", "ROLLBACK;", "COMMIT;")]
            async with _rolled_back(connection):
                await connection.execute(
                    "SET LOCAL session_replication_role = replica"
                )  # what is inserted anew has other IDs
                found = [await explain(connection, *one, max_rows=query.max_rows) for one in recorded]
            yield Report(query=query, explained=[one for one in found if one is not None])
    finally:
        await connection.close()
        await engine.dispose()


@asynccontextmanager
async def _rolled_back(connection: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
