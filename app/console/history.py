"""A reader's history as the page shows it: newest day first, with Stripe events in a row collapsed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from app.domain.history import HistoryEntry, HistoryKind

STRIPE_PREFIX = "Stripe: "  # of the events' texts; a collapsed group says it once


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the history."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """One entry, or Stripe events in a row."""

    entries: Sequence[Entry]

    @property
    def is_collapsed(self) -> bool:
        """Whether the entries are Stripe events, which are hidden behind a summary."""
        return self.entries[0].kind == HistoryKind.EVENT


@dataclass(frozen=True, slots=True)
class Day:
    """The entries of a day in the publisher's time zone, newest first."""

    date: str
    groups: Sequence[Group]


def days(timeline: Sequence[HistoryEntry]) -> list[Day]:
    """Return the days of a history, newest first."""
    return [
        Day(date, _groups(list(entries))) for date, entries in groupby(reversed(timeline), key=lambda entry: entry.date)
    ]


def _groups(timeline: Sequence[HistoryEntry]) -> list[Group]:
    groups: list[Group] = []
    for is_stripe_event, run in groupby(timeline, key=lambda entry: entry.kind == HistoryKind.EVENT):
        entries = list(run)
        if is_stripe_event:
            groups.append(Group([_entry(entry, without=STRIPE_PREFIX) for entry in entries]))
        else:
            groups += [Group([_entry(entry)]) for entry in entries]
    return groups


def _entry(entry: HistoryEntry, *, without: str = "") -> Entry:
    """Return an entry without a prefix."""
    text = entry.text.removeprefix(without)
    return Entry(entry.at, entry.kind, text[:1].upper() + text[1:])
