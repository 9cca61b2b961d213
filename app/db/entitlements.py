"""
Reading entitlement rows: the one query of the hottest path.

It runs on a bare asyncpg pool, since a SQLAlchemy session costs more than the query; and what is asked for at the same
time is read with one statement, since the way to the server and back costs more than the row (bench:
``check_cold_vs_asyncpg``).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from app.db.engine.session import DRIVER_FAILURES, GONE, PATIENCE
from app.domain.entitlements import NOBODY, Access, load, load_features

Pool = asyncpg.Pool
MOST = 200  # rows with one statement
LANES = 2  # statements at the same time: one is on its way while another is being read
REST = 1.0  # seconds in which it is not asked again after that, so that not every page waits
_READ = "SELECT access, version FROM entitlements WHERE sub = $1"
_READ_MANY = "SELECT sub, access, version FROM entitlements WHERE sub = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class Row:
    """
    What is stored of a reader, as text: most of it is not asked for.

    Text is also what the garbage collector does not look through. With the same in dictionaries it stood still for a
    third of a second, again and again, once fifty thousand readers were remembered.
    """

    access: str
    version: int

    @property
    def stored(self) -> Mapping[str, Any]:
        """What is stored, read."""
        return cast("Mapping[str, Any]", json.loads(self.access))


class Unreadable(Exception):
    """The database cannot be asked."""


async def open_pool(dsn: str, *, size: int, pooler: bool) -> "asyncpg.Pool[asyncpg.Record]":
    """
    Open the pool of the hot routes; with ``pooler``, without prepared statements.

    Only single statements run on it, which leave nothing behind in their session. So nothing is reset when a
    connection is given back: that is a second way to the server and back, for each query.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        statement_cache_size=0 if pooler else 100,
        command_timeout=10,
        reset=_leave_as_it_is,
    )


async def _leave_as_it_is(_: object) -> None:
    """Do nothing. asyncpg itself ends a transaction that was left open."""


async def read(pool: "asyncpg.Pool[asyncpg.Record]", sub: str) -> tuple[Access, int]:
    """Return what a reader may use, and the version of that; nothing, and version 0, for one we do not know."""
    row = await pool.fetchrow(_READ, sub)
    return (NOBODY, 0) if row is None else (load(json.loads(row["access"])), row["version"])


def about(feature: str, stored: Mapping[str, Any]) -> Access:
    """Leave out the other features, unless the one has no spells: then they decide whether it is included."""
    features = stored["features"]
    spells = features.get(feature)
    return Access(features=load_features({feature: spells} if spells else features), otherwise=stored["otherwise"])


class Reader:
    """Reads rows by ``sub``; those that are asked for while a statement is on its way go with the next one."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, lanes: int = LANES) -> None:
        self._pool, self._most_lanes = pool, lanes
        self._waiting: list[tuple[str, asyncio.Future[Row | None]]] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._silent_until = float("-inf")

    def read(self, sub: str) -> "asyncio.Future[Row | None]":
        """
        Return the row of a reader, as it is no earlier than now; None: there is none.

        :raises Unreadable: the database cannot be asked.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Row | None] = loop.create_future()
        if loop.time() < self._silent_until:
            future.set_exception(Unreadable("it said nothing a moment ago"))
            return future
        self._waiting.append((sub, future))
        if len(self._lanes) < self._most_lanes:
            self._lanes.add(asyncio.create_task(self._work()))
        return future

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._answer(batch)
        finally:  # in the same step as the last look at who waits: whoever comes next must not count on this lane
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer(self, batch: "Sequence[tuple[str, asyncio.Future[Row | None]]]") -> None:
        try:
            found = await self._read([sub for sub, _ in batch])
        except Exception as failure:  # whatever it is, each of them is answered
            if isinstance(failure, TimeoutError):
                self._silent_until = asyncio.get_running_loop().time() + REST
            away = isinstance(failure, DRIVER_FAILURES)  # nothing can be wrong with the question
            for _, future in batch:
                if not future.done():
                    future.set_exception(Unreadable(f"{type(failure).__name__}: {failure}") if away else failure)
            return
        for sub, future in batch:
            if not future.done():
                future.set_result(found.get(sub))

    async def _fetch(self, subs: Sequence[str]) -> "list[asyncpg.Record]":
        """
        Ask, and break the connection when it goes silent.

        asyncpg's own time-out asks the server to cancel, and waits until it has: of a silent one, for ever.
        """
        async with self._pool.acquire(timeout=PATIENCE) as connection:
            overdue = asyncio.get_running_loop().call_later(PATIENCE, connection.terminate)
            try:
                found: list[asyncpg.Record] = await connection.fetch(_READ_MANY, subs)
                return found
            except GONE as failure:
                if overdue.when() <= asyncio.get_running_loop().time():
                    raise TimeoutError("the database says nothing") from failure
                raise
            finally:
                overdue.cancel()

    async def _read(self, subs: Sequence[str]) -> dict[str, Row]:
        try:
            rows = await self._fetch(subs)
        except GONE:
            # The server was restarted, and the pool did not know: its next connection is a new one.
            rows = await self._fetch(subs)
        return {sub: Row(access, version) for sub, access, version in rows}
