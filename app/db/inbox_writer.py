"""
Accept webhook events: write those that arrive together in one commit.

The caller gets an answer only after its event is on disk. While one batch waits for the disk, the next one is collected.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog

from app.batching import Batcher
from app.db.engine.outages import is_exhausted, report
from app.db.engine.pool import acquired
from app.db.engine.session import DatabaseUnreachable
from app.domain.events import EventNotStored, RefetchRequest

CONCURRENCY = 2  # batches
BATCH_BYTES = 2_000_000
COUNTED_AS = 10_000  # bytes at least, for each event, so that a batch has at most 200
MAX_PENDING_BYTES = 32_000_000  # so that a slow disk does not fill the memory
SINGLE_EVENT_ERRORS = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.IntegrityConstraintViolationError)
WRITE_TIMEOUT = 5.0  # seconds: Stripe waits for a response, and sends the event again
CONNECTION_TIMEOUT = 4.0  # seconds of them, for a free connection
RETRY_AFTER = 1.0  # seconds after a time-out, in which events are refused immediately instead of waiting as well
NO_KEY = "-"  # the event is not about an object that we follow

_INSERT = """
INSERT INTO events (id, type, api_version, livemode, object_id, created_at, state, reason, payload, is_reduced, work_key,
                    due_at)
SELECT id, type, version, livemode::bool, object_id, created::timestamptz,
       CASE WHEN ignored IS NULL THEN 'received' ELSE 'ignored' END, ignored, payload, true, key,
       CASE WHEN ignored IS NULL THEN now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
     AS arrived (id, type, version, livemode, object_id, created, ignored, payload, key)
ORDER BY id  -- two batches with the same events lock them in the same order
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A verified event, before it is stored. Its payload is reduced to what is used of it."""

    refetch: RefetchRequest
    payload: str


class InboxWriter:
    """Stores the events of all requests of the process."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        max_pending_bytes: int = MAX_PENDING_BYTES,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._pool, self._max_pending_bytes = pool, max_pending_bytes
        self._pending_bytes = 0
        self._retry_at = float("-inf")
        self._batcher = Batcher(
            self._insert,
            concurrency=concurrency,
            size=lambda event: max(len(event.payload), COUNTED_AS),
            max_size=BATCH_BYTES,
            retry_singly=SINGLE_EVENT_ERRORS,
        )

    async def store(self, event: ReceivedEvent) -> bool:
        """
        Store an event, and return whether it is new once it is on disk.

        :raises EventNotStored: if it could not be written, or too many events are waiting. Stripe sends it again.
        """
        size = len(event.payload)
        if self._pending_bytes + size > self._max_pending_bytes:
            raise EventNotStored("Too many events are waiting to be written")
        self._pending_bytes += size
        try:
            return await self._batcher.submit(event)
        except Exception as error:
            raise EventNotStored("The event could not be written; send it again") from error
        finally:
            self._pending_bytes -= size

    async def close(self) -> None:
        """Write the events that are still waiting."""
        await self._batcher.drain()

    async def _insert(self, events: Sequence[ReceivedEvent]) -> list[bool]:
        loop = asyncio.get_running_loop()
        if loop.time() < self._retry_at:
            raise DatabaseUnreachable("The database did not answer a moment ago")
        try:
            async with asyncio.timeout(WRITE_TIMEOUT), acquired(self._pool, CONNECTION_TIMEOUT) as connection:
                new = await insert(connection, events)
        except Exception as error:
            if isinstance(error, TimeoutError) and not is_exhausted(error):
                self._retry_at = loop.time() + RETRY_AFTER
            if len(events) == 1 or not isinstance(error, SINGLE_EVENT_ERRORS):
                report("events_not_stored", error, events=len(events))
            raise
        results = []
        for event in events:
            results.append(event.refetch.event_id in new)
            new.discard(event.refetch.event_id)  # a duplicate in the same batch is not new
        return results


async def insert(
    connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
    events: Sequence[ReceivedEvent],
) -> set[str]:
    """Insert events in one commit, and return the IDs of the new ones."""
    refetches = [event.refetch for event in events]
    rows = await connection.fetch(
        _INSERT,
        [refetch.event_id for refetch in refetches],
        [refetch.type for refetch in refetches],
        [refetch.api_version for refetch in refetches],
        [_text(refetch.livemode) for refetch in refetches],
        [refetch.object_id for refetch in refetches],
        [_text(refetch.created_at) for refetch in refetches],
        [refetch.ignored for refetch in refetches],
        [event.payload for event in events],
        [refetch.key or NO_KEY for refetch in refetches],
    )
    return {row["id"] for row in rows}


def _text(value: bool | datetime | None) -> str | None:
    """Return a value as text, because other arrays cost another query on each new connection (see :mod:`.rate_buckets`)."""
    return str(value) if value is not None else None
