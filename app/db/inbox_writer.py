"""
The door of the inbox: events that arrive together are written together.

A commit costs a wait for the disk, however much is in it. So what arrives while one batch is being written waits for the
next, and each is told of *its* commit: nobody is answered before the event is on disk. There are two writers in each
process, one of which gathers while the other waits for the disk; under load the batches grow by themselves, and a lone event
waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

import asyncpg
import structlog

from app.db import inbox
from app.db.inbox import Arrival
from app.domain.events import NotStored

MOST_EVENTS, MOST_BYTES = 200, 2_000_000  # in one batch
WRITERS = 2  # while one waits for the disk, the other gathers
ROOM = 32_000_000  # bytes that may wait, so that a slow disk does not fill the memory
log = structlog.get_logger()
_Waiting = tuple[Arrival, "asyncio.Future[bool]"]


class InboxWriter:
    """Takes in events from all requests of the process, and writes them in batches."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, room: int = ROOM, writers: int = WRITERS) -> None:
        self._pool, self._room, self._writers = pool, room, writers
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._writing: set[asyncio.Task[None]] = set()

    async def store(self, arrival: Arrival) -> bool:
        """
        Keep an event. Returns once it is durably there; False: it was there already.

        :raises NotStored: it could not be written, or too much waits already. Stripe sends it again.
        """
        if self._bytes + len(arrival.payload) > self._room:
            raise NotStored("more arrives than can be written just now")
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, stored))
        self._bytes += len(arrival.payload)
        if len(self._writing) < self._writers:
            self._writing.add(asyncio.create_task(self._write()))
        return await stored

    async def close(self) -> None:
        """Write what still waits."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._empty(self._take())
        finally:  # in the same step as the last look at what waits: what comes next must not count on this writer
            self._writing.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _empty(self, batch: list[_Waiting]) -> None:
        try:
            await self._store(batch)
        finally:  # also when this task is cancelled: nobody waits for ever
            for arrival, stored in batch:
                self._bytes -= len(arrival.payload)
                if not stored.done():
                    stored.set_exception(NotStored("the writer was stopped"))

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MOST_EVENTS and size < MOST_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0].payload)
        return batch

    async def _store(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch; when it is refused, each of it by itself, so that a bad one fails alone."""
        try:
            new = await inbox.store(self._pool, [arrival for arrival, _ in batch])
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.IntegrityConstraintViolationError) as bad:
            if len(batch) == 1:
                _fail(batch, bad)
                return
            for one in batch:
                await self._store([one])
        except Exception as failure:  # whatever it is, each of them is answered, and sent again
            _fail(batch, failure)
        else:
            for arrival, stored in batch:
                if not stored.done():  # whoever asked may have gone
                    stored.set_result(arrival.refetch.event_id in new)
                new.discard(arrival.refetch.event_id)  # the same one twice in a batch is new once


def _fail(batch: Sequence[_Waiting], failure: Exception) -> None:
    log.error("events_not_stored", events=len(batch), error=type(failure).__name__)
    for _, stored in batch:
        if not stored.done():
            stored.set_exception(NotStored("the event could not be written; send it again"))
