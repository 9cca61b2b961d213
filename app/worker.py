"""
The worker: claims due rows, runs their job and waits until more are due.

Which job is run for which rows is in :mod:`app.jobs`. A worker has no state of its own, so any number of them may run, on
any machine. It is woken by notifications of the database and by its clock.
"""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog
from structlog.contextvars import bound_contextvars

from app.db.engine import leases, notifications
from app.db.engine.outages import is_outage, outages, report
from app.db.engine.session import DATABASE_FAILURES, Session, Sessions, is_unreachable
from app.domain.refunds import RefundRefused

CONCURRENCY = 10  # keys of one job that a worker processes at the same time
POLL_SECONDS = 1.0  # between the looks at which tables have due rows, when no notification arrives
STOP_SECONDS = 5.0  # for running jobs to end once the worker is canceled; afterwards they are canceled too
HOUSEKEEPING_SECONDS = 1800.0  # between two runs of the housekeeping; an overdue renewal is reported within an hour
log = structlog.get_logger()


class Claim(Protocol):
    """Leases due rows of one kind."""

    async def __call__(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job for the due rows of a table. ``run`` gets the claimed rows of a key and the worker's name."""

    table: str
    run: Callable[[leases.Claimed, str], Awaitable[None]]  # releases the key and never raises
    claim: Claim | None = None  # None: :func:`app.db.engine.leases.claim`
    polls: bool = (
        False  # whether it claims at each poll, because its rows become due by another clock than the database's
    )
    concurrency: int | None = None  # keys that are processed at the same time; None: as of every job


class Worker:
    """
    Runs the jobs of due rows until it is canceled.

    Then it claims no more, and running jobs have a moment to end before they are canceled as well. Their leases are renewed
    until they have ended, so that no other worker runs the same job beside them.
    """

    def __init__(
        self,
        sessions: Sessions,
        jobs: Sequence[Job],
        *,
        housekeeping: Callable[[], Awaitable[object]] | None,
        lease: timedelta,
        listen_dsn: str | None,
        listener_name: str | None = None,
        concurrency: int = CONCURRENCY,
        catch_up: Callable[[str], Awaitable[bool]] | None = None,
        poll_seconds: float = POLL_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """
        Create a worker.

        :param housekeeping: runs every half hour; None: not in this worker.
        :param listen_dsn: where notifications are received; None: the worker only polls.
        :param listener_name: of the connection that receives them.
        :param catch_up: processes a large backlog; gets the worker's name and returns whether there was a backlog.
        """
        self._concurrency, self._catch_up = concurrency, catch_up
        self._poll_seconds, self._stop_seconds = poll_seconds, stop_seconds
        self.owner = f"worker-{secrets.token_hex(8)}"
        self._sessions, self._jobs, self._housekeeping = sessions, jobs, housekeeping
        self._lease, self._listen_dsn, self._listener_name = lease, listen_dsn, listener_name
        self._polling = {job.table for job in jobs if job.polls}
        self._wakes = {job.table: asyncio.Event() for job in jobs}
        self._in_hand: Counter[str] = Counter()  # keys that were claimed and whose job has not ended

    def wake(self, table: str = "") -> None:
        """Make the job of a table query for due rows now; every job, if no job has that table."""
        for wake in [self._wakes[table]] if table in self._wakes else self._wakes.values():
            wake.set()

    async def run(self) -> None:
        """Work until canceled. After any error, a database outage included, start again."""
        while True:
            try:
                await self._run()
            except Exception as failure:
                if is_outage(failure):
                    outages.failed("worker_restarted", failure)
                else:
                    log.exception("worker_restarted")
                await asyncio.sleep(POLL_SECONDS)

    async def _run(self) -> None:
        async with (
            leases.renewing(self._sessions, self._in_hand, owner=self.owner, lease=self._lease),
            asyncio.TaskGroup() as tasks,
        ):
            for job in self._jobs:
                tasks.create_task(self._loop(job, self._wakes[job.table]))
            tasks.create_task(self._poll())
            if self._housekeeping is not None:
                tasks.create_task(self._run_housekeeping(self._housekeeping))
            if self._catch_up is not None:
                tasks.create_task(self._run_catch_up(self._catch_up))
            if self._listen_dsn is not None:
                tasks.create_task(notifications.listen(self._listen_dsn, self.wake, name=self._listener_name))

    async def _poll(self) -> None:
        """Wake the jobs whose tables have due rows: one query for all of them, so that an idle worker costs little."""
        while True:
            try:
                async with self._sessions() as session:
                    due = await leases.due_tables(session, self._wakes)
                for table in {*due, *self._polling}:
                    self._wakes[table].set()
            except DATABASE_FAILURES as failure:
                report("poll_failed", failure)
            await asyncio.sleep(self._poll_seconds)

    async def _loop(self, job: Job, wake: asyncio.Event) -> None:
        """
        Claim and run one job's work.

        Up to as many keys as run at the same time are claimed in advance. More are claimed when half of those are left,
        because one query for many keys costs less than many queries.
        """
        running: set[asyncio.Task[None]] = set()
        claimed: deque[leases.Claimed] = deque()
        concurrency = job.concurrency or self._concurrency

        def start_claimed() -> None:
            while claimed and len(running) < concurrency:
                task = asyncio.create_task(self._run_job(job, claimed.popleft()))
                running.add(task)
                task.add_done_callback(ended)

        def ended(task: asyncio.Task[None]) -> None:
            running.discard(task)
            start_claimed()
            if len(claimed) * 2 <= concurrency:
                wake.set()

        try:
            while True:
                await wake.wait()
                wake.clear()
                room = concurrency - len(claimed)
                more = await self._claim(job, room) if room * 2 >= concurrency else ()
                claimed.extend(more)
                start_claimed()
                if more:
                    wake.set()  # there may be others
        finally:
            self._in_hand -= Counter(one.key for one in claimed)
            claimed.clear()  # their leases expire, and another worker claims them
            await self._stop(set(running))

    async def _stop(self, running: set[asyncio.Task[None]]) -> None:
        """Wait a moment for jobs to end, and cancel the others."""
        if running:
            await asyncio.wait(running, timeout=self._stop_seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _claim(self, job: Job, limit: int) -> Sequence[leases.Claimed]:
        claim = job.claim or partial(leases.claim, table=job.table)
        try:
            async with self._sessions.begin() as session:
                claimed = await claim(session, owner=self.owner, lease=self._lease, limit=limit)
        except DATABASE_FAILURES as failure:
            report("lease_claim_failed", failure, table=job.table)
            return []
        self._in_hand.update(one.key for one in claimed)
        return claimed

    async def _run_job(self, job: Job, claimed: leases.Claimed) -> None:
        with bound_contextvars(request_id=f"{self.owner}/{claimed.key}"):
            try:
                if await leases.begin(self._sessions, claimed, owner=self.owner, lease=self._lease):
                    await job.run(claimed, self.owner)
                else:
                    log.warning("lease_lost", table=job.table, key=claimed.key)
            except Exception as failure:  # tried again when the lease expires
                if is_unreachable(failure):
                    outages.failed("job_failed", failure)
                else:
                    log.exception("job_failed", table=job.table, key=claimed.key)
            finally:
                self._in_hand -= Counter([claimed.key])  # drops keys with a count of zero

    async def _run_catch_up(self, catch_up: Callable[[str], Awaitable[bool]]) -> None:
        while True:
            try:
                if await catch_up(self.owner):
                    continue
                await asyncio.sleep(POLL_SECONDS * 2)
            except Exception as failure:
                report("catch_up_failed", failure)
                await asyncio.sleep(POLL_SECONDS * 30)  # until then the backlog is processed one key at a time

    async def _run_housekeeping(self, housekeeping: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await housekeeping()
            except Exception as failure:
                report("housekeeping_failed", failure)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)


async def run_rows(
    sessions: Sessions, table: str, claimed: leases.Claimed, owner: str, run: Callable[[str], Awaitable[object]]
) -> None:
    """
    Call ``run`` with the ID of each claimed row, and release the key.

    A row whose ``run`` fails is due again after a pause, without a limit: a refund or a cancellation that was promised is
    tried until it is done.
    """
    try:
        for row_id in claimed.ids:
            try:
                await run(row_id)
            except RefundRefused as refusal:
                log.warning("refund_refused", refund=row_id, reason=refusal.code)  # its row has the reason
            except Exception as failure:
                log.warning("row_failed", table=table, row=row_id, attempts=claimed.attempts, error=describe(failure))
                async with sessions.begin() as session:
                    await leases.reschedule(
                        session, table, [row_id], attempts=claimed.attempts, error=describe(failure)
                    )
    finally:
        async with sessions.begin() as session:
            await leases.release(session, claimed.key, owner=owner)


def describe(error: Exception) -> str:
    """Return an error for the log and the row: its type and message."""
    return f"{type(error).__name__}: {error}"
