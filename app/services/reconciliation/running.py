"""
What the phases of a sweep share, and the reading of a phase's lists.

A phase's lists are divided into ranges (:mod:`app.domain.sweep_ranges`), and several are read at the same time, as fast as
the rate limit for calls to Stripe allows. Each page's differences are saved with the position of every range in one
transaction, so a sweep can be interrupted anywhere.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeVar

from app.context import Context
from app.db import reconciliation as rows
from app.db.reconciliation import Sweep
from app.domain import sweep_ranges
from app.domain.events import RefetchRequest
from app.domain.reconciliation import Difference, SweepKind, next_phase
from app.domain.sweep_ranges import FROM_THE_BEGINNING, ListPage, PageRead, Range
from app.services.reconciliation.import_preview import ImportPreview

READERS = 32  # pages that are requested at the same time: 20 a second if Stripe needs 1.5 seconds for each
Progress = Callable[[Sweep], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """How the reader of an imported customer is found."""

    subs: Mapping[str, str] = field(default_factory=dict)  # customer to ``sub``, from the publisher's file
    metadata_key: str = "newsstand_sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The arguments of each phase."""

    ctx: Context
    now: datetime  # policy time
    since: datetime | None
    is_address_lacking: bool  # copies are owed to a reader without an address, so pages are listed with their customers
    importing: Importing
    preview: ImportPreview
    progress: Progress  # called after each page
    adopted: set[str] = field(default_factory=set)  # customers that were unknown here
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while rows are inserted that two pages may share


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of a page: the differences, the number of objects compared, and the events that we had not received."""

    differences: Sequence[Difference]
    looked_at: Mapping[str, int]
    missed: Sequence[tuple[RefetchRequest, str]] | None = None  # None: the differences are repaired by refetches


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Generic[T]):
    """How the lists of a phase are read and compared."""

    since: Callable[[Run, Sweep], datetime | None]
    list_page: Callable[[Run, Sweep, Range], Awaitable[ListPage[T]]]
    compare: Callable[[Run, Sweep, PageRead[T]], Awaitable[Found]]
    lists: int = 1
    finish: Callable[[Run, Sweep], Sequence[Difference]] = lambda *_: ()  # compares the pages with each other

    async def run(self, run: Run, sweep: Sweep) -> Sweep:
        """Read what is left of the lists, and return the sweep at its next phase."""
        return await _Reading(self, run, sweep).to_the_end()


@dataclass(eq=False, slots=True)
class _Open:
    """A range that is not finished. ``saved`` is its position in the database; ``left`` is without the page in hand."""

    saved: Range
    left: Range | None
    is_read: bool = False  # whether a reader has it


class _Reading(Generic[T]):
    def __init__(self, phase: Phase[T], run: Run, sweep: Sweep) -> None:
        self._phase, self._run, self._sweep = phase, run, sweep
        since = phase.since(run, sweep)
        start = int(since.timestamp()) if since is not None else FROM_THE_BEGINNING
        ranges = sweep_ranges.load(sweep.cursor) or [
            Range(since=start, until=None, part=part) for part in range(phase.lists)
        ]
        self._open = [_Open(saved=one, left=one) for one in ranges]
        self._saving = asyncio.Lock()
        self._changed = asyncio.Event()

    async def to_the_end(self) -> Sweep:
        try:
            async with asyncio.TaskGroup() as readers:
                for _ in range(READERS):
                    readers.create_task(self._read_ranges())
        except* Exception as failed:
            raise _first(failed) from None
        return self._sweep

    async def _read_ranges(self) -> None:
        while self._open:
            one = self._next()
            if one is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            one.is_read = True
            while one in self._open:
                await self._read_page(one)

    def _next(self) -> _Open | None:
        """Return a range that nobody reads, or a part of one that another reader has."""
        for one in self._open:
            if not one.is_read:
                return one
        read = [(one, one.left) for one in self._open if one.left is not None]
        divided = sweep_ranges.divide([left for _, left in read])
        if divided is None:
            return None
        index, newer, older = divided
        whole = read[index][0]
        whole.left, whole.saved = newer, replace(whole.saved, since=newer.since)
        self._open.append(_Open(saved=older, left=older))
        return self._open[-1]

    async def _read_page(self, one: _Open) -> None:
        assert one.left is not None  # only this reader advances it
        listed = await self._phase.list_page(self._run, self._sweep, one.left)
        page = sweep_ranges.read(one.left, listed)
        one.left = page.rest
        self._changed.set()
        found = await self._phase.compare(self._run, self._sweep, page)
        async with self._saving:
            await self._save(one, found)
        self._changed.set()

    async def _save(self, one: _Open, found: Found) -> None:
        sweep, left = self._sweep, [other.saved for other in self._open if other is not one]
        if one.left is not None:
            left.append(one.left)
        differences = [*found.differences, *([] if left else self._phase.finish(self._run, sweep))]
        phase = sweep.phase if left else next_phase(sweep.kind, sweep.phase)
        async with self._run.ctx.sessions.begin() as session:
            if found.missed and not sweep.dry_run:
                await rows.insert_events(session, found.missed)
            advanced = await rows.advance(
                session,
                sweep,
                differences,
                phase=phase,
                cursor=sweep_ranges.dump(left) if left else {},
                looked_at=found.looked_at,
                refetch=found.missed is None,
            )
        self._sweep = advanced
        if one.left is None:
            self._open.remove(one)
        else:
            one.saved = one.left
        self._run.progress(advanced)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that stopped the readers: the first one."""
    first = failed.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def is_preview(sweep: Sweep) -> bool:
    """Return whether a sweep only shows what an import would do."""
    return sweep.kind == SweepKind.IMPORT and sweep.dry_run
