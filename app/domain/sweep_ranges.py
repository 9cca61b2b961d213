"""
Ranges of one of Stripe's lists, which a sweep reads at the same time.

A list has no page numbers: the next page begins after the last object of the one before. So the list is divided by the time
at which objects were created, and each range is read page by page, newest first. A range is divided again when a reader has
nothing else to do, which also spreads the work when most objects were created in a few days.

Times are Stripe's, in whole seconds since 1970. Ranges are half open, so each second belongs to exactly one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

FROM_THE_BEGINNING = 0
PAGES_WORTH_A_READER = 2  # a range that probably has fewer left is not divided
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """
    What is left of a range: objects created from ``since`` to before ``until``, without those already read.

    ``at`` is when the last object that was read was created, ``after`` is its ID, and ``tied`` has the IDs of all that were
    read and created in that second. ``pace`` is the number of seconds that a page spans, as seen on the newest page.
    """

    since: int
    until: int | None  # None: there is no end
    part: int = 0  # which list, if there are several
    at: int | None = None
    after: str | None = None
    tied: Sequence[str] = ()
    pace: int | None = None

    @property
    def end(self) -> int | None:
        """The end of what is left; None if there is none. Some objects of the last second may have been read."""
        return self.until if self.at is None else self.at + 1

    @property
    def pages(self) -> float:
        """About how many pages are left; 0 if that is unknown."""
        return (self.end - self.since) / self.pace if self.end is not None and self.pace is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[T]):
    """An object of a list."""

    id: str
    created: int
    item: T


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Generic[T]):
    """A page of a list, newest first."""

    listed: Sequence[Listed[T]]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRead(Generic[T]):
    """
    A page of a range.

    After it, all objects that were created from ``since`` to before ``until`` are known: ``items`` are those on this page,
    and ``ids`` are also the IDs of those that were created in the same seconds and were on an earlier page.
    """

    part: int
    items: Sequence[T]
    ids: frozenset[str]
    since: int
    until: int | None
    rest: Range | None  # what is left of the range


def read(range_: Range, page: ListPage[T]) -> PageRead[T]:
    """
    Return what a page says about its range.

    The range may have been divided since the page was requested: the page's objects that belong to another range now are
    left out.
    """
    kept = [one for one in page.listed if one.created >= range_.since]
    known = frozenset(one.id for one in kept).union(range_.tied)
    oldest = page.listed[-1].created if page.listed else None
    rest = None
    since = range_.since
    if page.has_more and oldest is not None and oldest >= range_.since:
        newest = page.listed[0].created if range_.at is None else range_.at
        tied = [one.id for one in kept if one.created == oldest]
        rest = replace(
            range_,
            at=oldest,
            after=page.listed[-1].id,
            tied=(*range_.tied, *tied) if oldest == range_.at else tuple(tied),
            pace=max(newest - oldest, 1),
        )
        since = oldest + 1
    return PageRead(
        part=range_.part, items=[one.item for one in kept], ids=known, since=since, until=range_.end, rest=rest
    )


def divide(ranges: Sequence[Range]) -> tuple[int, Range, Range] | None:
    """
    Divide the range with the most pages left.

    :returns: its index and the two ranges that replace it: the newer one, which is being read, and the older one. None if no
        range is worth another reader.
    """
    index = max(range(len(ranges)), key=lambda one: ranges[one].pages, default=None)
    if index is None or ranges[index].pages <= PAGES_WORTH_A_READER:
        return None
    whole = ranges[index]
    end = whole.end
    assert end is not None  # otherwise the number of pages is unknown
    middle = whole.since + (end - whole.since) // 2
    older = Range(since=whole.since, until=middle, part=whole.part, pace=whole.pace)
    return index, replace(whole, since=middle), older


def dump(ranges: Sequence[Range]) -> dict[str, Any]:
    """Return the ranges as JSON."""
    return {"ranges": [asdict(one) for one in ranges]}


def load(cursor: Mapping[str, Any]) -> list[Range] | None:
    """Return the ranges in a cursor; None if it has none, because nothing was read or an older release wrote it."""
    if "ranges" not in cursor:
        return None
    return [Range(**{**one, "tied": tuple(one["tied"])}) for one in cursor["ranges"]]
