"""
The printed copies that a term owes, as ranges of issue numbers.

A label run must find them among a million terms, so they are stored with each term whenever its grants are derived.
They follow from its place in the calendar (:mod:`app.domain.issues`) and from the time in which print is paid for.

Special issues count as none, so they have no place in a term. Those between its copies are sent. So are those before its
first copy whose labels were open when it began, and those after its last copy: until the next term's first copy if that
follows without a gap, otherwise while the term lasts. Each is judged by its own labels: one that is closed hides no other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, product, takewhile, zip_longest

from app.domain.holds import HeldCopies
from app.domain.issues import Calendar, ScheduledTerm, held_copies, printed_parts

Numbers = tuple[
    int, int | None
]  # the first issue, and the number after the last; None: on after the calendar's last issue


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedCopies:
    """
    The copies of one term.

    :param ranges: of issue numbers, in order. A special issue within one is sent, too.
    :param ended_at: when the rest was canceled: a copy is owed if its label cut-off came before.
    :param expire: the last issue that the whole subscription owes; None: it is not on the calendar yet, or nothing is owed.
    """

    ranges: tuple[Numbers, ...] = ()
    ended_at: datetime | None = None
    expire: int | None = None

    @property
    def stored(self) -> str:
        """The ranges as a multirange of PostgreSQL."""
        return "{" + ",".join(f"[{first},{'' if end is None else end})" for first, end in self.ranges) + "}"


def copies_of(runs: Sequence[ScheduledTerm]) -> dict[str, OwedCopies]:
    """Return the copies of each of a subscription's terms, by invoice."""
    expire = _expire(runs)
    return {
        run.term.invoice_id: OwedCopies(ranges=tuple(_ranges(run, following)), ended_at=run.ended_at, expire=expire)
        for run, following in zip_longest(runs, runs[1:])
    }


def _expire(runs: Sequence[ScheduledTerm]) -> int | None:
    owing = [run for run in runs if run.ended_at is None and run.ranges[-1][1] > run.ranges[-1][0]]
    if not owing:
        return None
    last = owing[-1].last_index
    return owing[-1].calendar.issues[last].number if last is not None else None


def _ranges(run: ScheduledTerm, following: ScheduledTerm | None) -> Iterator[Numbers]:
    if not run.term.print_edition:
        return
    calendar, doubles, begins = run.calendar, run.doubles, run.ranges[0][0]
    parts, held = printed_parts(run.term, calendar, doubles), held_copies(run.term, calendar, doubles)
    periods = list(zip(parts, run.term.print_periods, strict=True))
    for (start, end), ((low, high), (starts_at, ends_at)) in product(_with_held(run, held), periods):
        is_first, start, until = start <= max(begins, low), max(start, low), end if high is None else min(end, high)
        first = calendar.index_of_copy(start + 1, doubles=doubles) if start < until else None
        if first is None:
            continue  # nothing, or after the end of the calendar: then it is derived again once that is extended
        last = calendar.index_of_copy(until, doubles=doubles)
        skips = set(held.numbers)
        if last is not None and until == (high if ends_at is not None else run.ranges[-1][1]):
            last, closed = _through_special_issues(calendar, last, ends_at or _lasts_until(run, following))
            skips |= closed
        if is_first and calendar.index_of_copy(start, doubles=doubles) != first:  # not within a double issue
            first, closed = _from_special_issues(calendar, first, starts_at or run.late_at or run.term.starts_at)
            skips |= closed
        number = calendar.issues[first].number
        for skipped in sorted(skips):
            if number <= skipped and (last is None or skipped <= calendar.issues[last].number):
                if number < skipped:
                    yield number, skipped
                number = skipped + 1
        if last is None or number <= calendar.issues[last].number:
            yield number, calendar.issues[last].number + 1 if last is not None else None


def _lasts_until(run: ScheduledTerm, following: ScheduledTerm | None) -> datetime:
    """Return until when special issues are sent after the last copy of a term: without an end if print continues."""
    is_continued = (
        following is not None
        and following.late_at is None
        and following.term.starts_at <= run.term.ends_at
        and following.term.begins_with_print
    )
    return datetime.max.replace(tzinfo=UTC) if is_continued else run.term.ends_at


def _from_special_issues(calendar: Calendar, first: int, at: datetime) -> tuple[int, set[int]]:
    """
    Return the index of the first of the special issues before an issue whose labels were open when print began.

    Also return the numbers of those after it whose labels were closed.
    """
    earlier = islice(reversed(calendar.issues), len(calendar.issues) - first, None)
    special = list(takewhile(lambda one: not one.counts_as, earlier))
    is_open = [calendar.ends(one.closes_on) > at for one in special]
    count = max((place for place, found in enumerate(is_open, start=1) if found), default=0)
    return first - count, {one.number for one, found in zip(special[:count], is_open, strict=False) if not found}


def _through_special_issues(calendar: Calendar, last: int, at: datetime) -> tuple[int, set[int]]:
    """
    Return the index of the last of the special issues after an issue whose labels close by the end of print.

    Also return the numbers of those before it whose labels close later.
    """
    special = list(takewhile(lambda one: not one.counts_as, islice(calendar.issues, last + 1, None)))
    closes = [calendar.ends(one.closes_on) <= at for one in special]
    count = max((place for place, found in enumerate(closes, start=1) if found), default=0)
    return last + count, {one.number for one, found in zip(special[:count], closes, strict=False) if not found}


def _with_held(run: ScheduledTerm, held: HeldCopies) -> Iterator[tuple[int, int]]:
    """Yield the ranges of copies, joined where only held ones are between: the special issues there may not be held."""
    joined: tuple[int, int] | None = None
    for start, end in run.ranges:
        if joined is not None and held.before(joined[1]) == held.before(start):
            joined = joined[0], end
            continue
        if joined is not None:
            yield joined
        joined = start, end
    if joined is not None:
        yield joined
