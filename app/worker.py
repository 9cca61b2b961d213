"""
Time in: the jobs that run by themselves.

Each kind of work has a *job*: a table with due rows, and what is done for a leased key. The worker claims, does, and
waits to be woken by a notice or by its clock. It keeps no state; any number of workers may run, anywhere.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog
from structlog.contextvars import bound_contextvars

from app.db.engine import leases, notifications
from app.db.engine.session import DATABASE_FAILURES, Session, Sessions
from app.domain.refunds import RefundRefused

AT_ONCE = 10  # keys of one kind that a worker has in hand
TIDY = 3600.0  # seconds between removals of what is kept for a day only
POLL = 1.0  # seconds between looks when nobody refetches
log = structlog.get_logger()


class Claim(Protocol):
    """Leases what is due of one kind of work."""

    async def __call__(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One kind of work. ``do`` is given what was claimed and our name; it releases the key and never raises."""

    table: str
    do: Callable[[leases.Claimed, str], Awaitable[None]]
    claim: Claim | None = None  # None: as every kind of work is


class Worker:
    """Does what is due until it is cancelled."""

    def __init__(
        self,
        sessions: Sessions,
        jobs: Sequence[Job],
        *,
        tidy: Callable[[], Awaitable[object]],
        lease: timedelta,
        listen_dsn: str | None,
        at_once: int = AT_ONCE,
        catch_up: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """:param catch_up: looks a large backlog up, given our name; tells whether there was one."""
        self._at_once, self._catch_up = at_once, catch_up
        self.owner = f"worker-{secrets.token_hex(8)}"
        self._sessions, self._jobs, self._tidy = sessions, jobs, tidy
        self._lease, self._listen_dsn = lease, listen_dsn
        self._wakes = [asyncio.Event() for _ in jobs]

    def wake(self) -> None:
        """Have it look at once."""
        for wake in self._wakes:
            wake.set()

    async def run(self) -> None:
        """Work until cancelled, whatever happens. A database that is gone is waited for."""
        while True:
            try:
                await self._run()
            except Exception:
                log.exception("worker_begins_again")
                await asyncio.sleep(POLL)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for job, wake in zip(self._jobs, self._wakes, strict=True):
                tasks.create_task(self._loop(job, wake))
            tasks.create_task(self._keep_leases())
            tasks.create_task(self._keep_tidy())
            if self._catch_up is not None:
                tasks.create_task(self._keep_up(self._catch_up))
            if self._listen_dsn is not None:
                tasks.create_task(notifications.listen(self._listen_dsn, self.wake))

    async def _loop(self, job: Job, wake: asyncio.Event) -> None:
        """Have ``at_once`` keys in hand, and claim as many more while they are done; half of them at a time, or all."""
        running: set[asyncio.Task[None]] = set()
        claimed: deque[leases.Claimed] = deque()

        def begin() -> None:
            while claimed and len(running) < self._at_once:
                task = asyncio.create_task(self._do(job, claimed.popleft()))
                running.add(task)
                task.add_done_callback(ended)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            begin()
            if len(claimed) * 2 <= self._at_once:
                wake.set()

        try:
            while True:
                wake.clear()
                room = self._at_once - len(claimed)
                more = await self._claim(job, room) if room * 2 >= self._at_once else ()
                claimed.extend(more)
                begin()
                if not more:
                    await _first(wake, POLL)
        finally:
            claimed.clear()  # their leases end, and others do them
            await asyncio.gather(*running, return_exceptions=True)

    async def _claim(self, job: Job, most: int) -> Sequence[leases.Claimed]:
        claim = job.claim or partial(leases.claim, table=job.table)
        try:
            async with self._sessions.begin() as session:
                return await claim(session, owner=self.owner, lease=self._lease, limit=most)
        except DATABASE_FAILURES as failure:
            log.warning("worker_waits", table=job.table, error=f"{type(failure).__name__}: {failure}")
            return []

    async def _do(self, job: Job, claimed: leases.Claimed) -> None:
        with bound_contextvars(request_id=f"{self.owner}/{claimed.key}"):
            try:
                await job.do(claimed, self.owner)
            except Exception:
                log.exception("work_failed", table=job.table, key=claimed.key)  # its lease ends, and it is tried again

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._sessions.begin() as session:
                    await leases.renew(session, owner=self.owner, lease=self._lease)
            except Exception as failure:
                log.warning("leases_not_renewed", error=type(failure).__name__)

    async def _keep_up(self, catch_up: Callable[[str], Awaitable[bool]]) -> None:
        while True:
            try:
                if await catch_up(self.owner):
                    continue
                await asyncio.sleep(POLL * 2)
            except Exception as failure:
                log.warning("not_caught_up", error=f"{type(failure).__name__}: {failure}")
                await asyncio.sleep(POLL * 30)  # meanwhile they are looked at one by one

    async def _keep_tidy(self) -> None:
        while True:
            try:
                await self._tidy()
            except Exception as failure:
                log.warning("not_tidied", error=type(failure).__name__)
            await asyncio.sleep(TIDY)


async def _first(wake: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wake.wait(), seconds)
    except TimeoutError:
        return


async def attend(
    sessions: Sessions, table: str, claimed: leases.Claimed, owner: str, do: Callable[[str], Awaitable[object]]
) -> None:
    """
    Do ``do`` for each claimed row that finishes itself; what cannot be done now is put back with a pause.

    Such work is never dead: a refund that was promised and a cancellation that was ordered are tried until they are done.
    """
    try:
        for row_id in claimed.ids:
            try:
                await do(row_id)
            except RefundRefused as refusal:
                log.warning("refund_refused", refund=row_id, reason=refusal.code)  # its row says so
            except Exception as failure:
                error = f"{type(failure).__name__}: {failure}"
                log.warning("put_back", table=table, row=row_id, attempts=claimed.attempts, error=error)
                async with sessions.begin() as session:
                    await leases.later(session, table, [row_id], attempts=claimed.attempts, error=error)
    finally:
        async with sessions.begin() as session:
            await leases.release(session, claimed.key, owner=owner)
