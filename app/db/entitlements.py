"""
Read entitlement rows: the query behind every entitlement check.

It runs on a bare asyncpg pool, because a SQLAlchemy session costs more than the query. Concurrent lookups share one
statement, because the round trip costs more than reading the row (bench: ``check_cold_vs_asyncpg``).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from app.batching import Batcher
from app.db.engine.fast_reads import FastReads
from app.db.engine.pool import Pool, fetch_in_time
from app.db.engine.session import CLOSED, DRIVER_FAILURES, PATIENCE, DatabaseUnreachable, unreachable
from app.domain.entitlements import NO_ENTITLEMENTS, EntitlementSet, load, load_features

BATCH = 200  # rows in one statement
CONCURRENCY = 2  # statements: while one is at the server, the rows of the other are read
PROBE_SECONDS = 0.25  # between two questions to a database that did not answer
_READ = "SELECT access, version FROM entitlements WHERE sub = $1"
_READ_MANY = "SELECT sub, access, version FROM entitlements WHERE sub = ANY($1::text[])"


@dataclass(frozen=True, slots=True)
class EntitlementRow:
    """
    The stored row of a subscriber.

    ``access`` stays JSON text until it is needed, because the garbage collector skips text. With parsed dictionaries, a
    collection took a third of a second once fifty thousand rows were cached.
    """

    access: str
    version: int

    @property
    def parsed(self) -> Mapping[str, Any]:
        """The parsed JSON of ``access``."""
        return cast("Mapping[str, Any]", json.loads(self.access))


async def read(reads: FastReads, sub: str) -> tuple[EntitlementSet, int]:
    """Return a subscriber's access and its version; no access and version 0 for an unknown subscriber."""
    row = next(iter(await reads.fetch(_READ, sub)), None)
    return (NO_ENTITLEMENTS, 0) if row is None else (load(json.loads(row["access"])), row["version"])


def load_feature(feature: str, stored: Mapping[str, Any]) -> EntitlementSet:
    """
    Return the part of the stored access that decides about one feature.

    A feature without periods of its own may still be included in another feature, so all features are loaded then.
    """
    features = stored["features"]
    periods = features.get(feature)
    return EntitlementSet(
        features=load_features({feature: periods} if periods else features), otherwise=stored["otherwise"]
    )


class EntitlementLookup:
    """
    Looks up rows by ``sub``, concurrent lookups in one statement.

    After a statement was not answered in time, one probe asks the database until it answers. Meanwhile lookups fail
    immediately instead of waiting as well.
    """

    def __init__(self, pool: "Pool[asyncpg.Record]", *, concurrency: int = CONCURRENCY) -> None:
        self._pool = pool
        self._batcher = Batcher(self._read, concurrency=concurrency, max_size=BATCH)
        self._reading: set[float] = set()  # when the statements began that are not answered yet
        self._probe: asyncio.Task[None] | None = None

    def get(self, sub: str) -> "asyncio.Future[EntitlementRow | None]":
        """
        Return a subscriber's row as of now or later, or None if there is none.

        :raises DatabaseUnreachable: if the database does not answer.
        """
        if self._probe is not None:
            future: asyncio.Future[EntitlementRow | None] = asyncio.get_running_loop().create_future()
            future.set_exception(DatabaseUnreachable("The database did not answer a moment ago"))
            return future
        return self._batcher.submit(sub)

    @property
    def is_slow(self) -> bool:
        """Whether the database has not answered a statement for a while, so that others need not wait for it."""
        if self._probe is not None:
            return True
        return bool(self._reading) and asyncio.get_running_loop().time() - min(self._reading) > PATIENCE

    def close(self) -> None:
        """Stop asking a database that does not answer."""
        if self._probe is not None:
            self._probe.cancel()

    async def _read(self, subs: Sequence[str]) -> list[EntitlementRow | None]:
        if self._probe is not None:
            raise DatabaseUnreachable("The database did not answer a moment ago")
        started_at = asyncio.get_running_loop().time()
        self._reading.add(started_at)
        try:
            try:
                found = await fetch_in_time(self._pool, _READ_MANY, subs)
            except CLOSED:  # the server restarted and the pool has not noticed: its next connection is a new one
                found = await fetch_in_time(self._pool, _READ_MANY, subs)
        except DRIVER_FAILURES as error:
            if isinstance(error, TimeoutError) and self._probe is None:
                self._probe = asyncio.create_task(self._ask_until_answered())
            raise unreachable(error) from error
        finally:
            self._reading.discard(started_at)
        rows = {sub: EntitlementRow(access, version) for sub, access, version in found}
        return [rows.get(sub) for sub in subs]

    async def _ask_until_answered(self) -> None:
        try:
            while True:
                try:
                    await fetch_in_time(self._pool, "SELECT 1")
                    return
                except DRIVER_FAILURES:
                    await asyncio.sleep(PROBE_SECONDS)
        finally:
            self._probe = None
