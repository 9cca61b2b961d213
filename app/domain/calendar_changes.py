"""
The terms that a change of the issue calendar affects: only those with dates that move.

Each term stores the issue that ends it (``terms.last_issue``) as of when its grants were derived. A delayed issue moves the
end of each term that ends with it or with the issue before, and the start of each term that starts in between. A new issue,
or one that counts differently, moves the end of each term that ends with it or later.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from app.domain.issues import Calendar, Issue

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedTerms:
    """
    The terms that a change affects.

    They end with an issue in ``last``, with issue ``since`` or later, or (``beyond``) after the last issue of the calendar;
    or they start within an interval of ``begun``.
    """

    last: frozenset[int] = frozenset()
    since: int | None = None
    beyond: bool = False
    begun: tuple[Interval, ...] = ()

    def dump(self) -> dict[str, object]:
        """Return the stored form."""
        return {
            "last": sorted(self.last),
            "since": self.since,
            "beyond": self.beyond,
            "begun": [[start.isoformat(), end.isoformat()] for start, end in self.begun],
        }

    @classmethod
    def load(cls, stored: dict[str, object]) -> Self:
        """Return the affected terms from the stored form."""
        last, since, begun = stored["last"], stored["since"], stored["begun"]
        assert isinstance(last, list)
        assert isinstance(begun, list)
        return cls(
            last=frozenset(last),
            since=since if isinstance(since, int) else None,
            beyond=bool(stored["beyond"]),
            begun=tuple((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in begun),
        )


def affected_terms(old: Calendar, new: Calendar) -> AffectedTerms | None:
    """Return the terms that are affected when ``new`` replaces ``old``; None if there are none."""
    before = {issue.number: issue for issue in old.issues}
    after = {issue.number: issue for issue in new.issues}
    last: set[int] = set()
    recounted: list[int] = []
    begun: list[Interval] = []
    beyond = False
    newest = next((issue.number for issue in reversed(old.issues) if issue.counts_as), None)
    for number in sorted(before.keys() | after.keys()):
        was, is_ = before.get(number), after.get(number)
        counted = was.counts_as if was else 0
        counts = is_.counts_as if is_ else 0
        if counted != counts:
            recounted.append(_before(old, number))
            beyond = True
        elif counts and was and is_ and was != is_:
            intervals = list(_moved(old, new, was, is_))
            begun += intervals
            if was.mail_date != is_.mail_date:
                last |= {number, _before(old, number)}
                beyond = beyond or number == newest
    since = min(recounted, default=None)
    if not (last or begun or beyond or since is not None):
        return None
    return AffectedTerms(last=frozenset(last), since=since, beyond=beyond, begun=tuple(begun))


def _before(calendar: Calendar, number: int) -> int:
    """Return the number of the last counted issue before ``number``; without one, ``number``, as no term ends earlier."""
    index = bisect_left([issue.number for issue in calendar.issues], number)
    return next((issue.number for issue in reversed(calendar.issues[:index]) if issue.counts_as), number)


def _moved(old: Calendar, new: Calendar, was: Issue, is_: Issue) -> Iterator[Interval]:
    if was.mail_date != is_.mail_date:
        first, last = sorted((was.mail_date, is_.mail_date))
        yield old.begins(first), new.begins(last)
    if was.label_cutoff != is_.label_cutoff:
        first, last = sorted((was.label_cutoff, is_.label_cutoff))
        yield old.ends(first), new.ends(last)
