"""A reader's story as their page tells it: the newest day first, and what Stripe told in a row put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from app.domain.history import TOLD, Happening
from app.domain.text import format_date


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """One thing that happened; or several that Stripe told with nothing else in between, which are folded away."""

    lines: Sequence[Line]

    @property
    def folded(self) -> bool:
        """Whether they are worth folding away."""
        return len(self.lines) > 1


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the publisher's calendar."""

    name: str
    stretches: Sequence[Stretch]


def days(timeline: Sequence[Happening], zone: ZoneInfo) -> list[Day]:
    """Return the days of a story, the newest first, and so within each."""
    return [
        Day(name, _stretches(list(happened)))
        for name, happened in groupby(reversed(timeline), key=lambda one: format_date(one.at, zone))
    ]


def _stretches(happened: Sequence[Happening]) -> list[Stretch]:
    found: list[Stretch] = []
    for told, run in groupby(happened, key=lambda one: one.kind == TOLD):
        lines = [_line(one) for one in run]
        found += [Stretch(lines)] if told else [Stretch([line]) for line in lines]
    return found


def _line(one: Happening) -> Line:
    words = one.words.partition(": ")[2]  # the day stands above
    return Line(one.at, one.kind, words[:1].upper() + words[1:])
