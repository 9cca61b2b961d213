"""
May this reader open this? One indexed row, remembered, and judged at the time of the question.

What is remembered is never wrong for more than :data:`BOUND` seconds: an answer is given from memory only if the row was
read so lately, or if everything that was committed until so lately has been heard
(see :mod:`app.db.engine.change_feed`). When the
database cannot be asked at all, a reader who was let in a moment ago is not locked out by our fault: for the outage
allowance, those who were known to be let in still are, and nobody is refused; whoever cannot be told about is told so.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.db.engine.session import DatabaseUnreachable
from app.db.entitlements import EntitlementLookup, EntitlementRow, load_feature
from app.domain.entitlements import (
    NO_ENTITLEMENTS,
    Decision,
    EntitlementSet,
    decide,
    decisions,
    load,
    next_change,
)
from app.domain.errors import DatabaseUnavailable
from app.domain.plans import Catalogue
from app.domain.text import is_storable

BOUND = 0.9  # seconds; what is left of the promised one is for what is on its way
REMEMBERED = 50_000  # readers; about 2 KB each, for a year with its renewal


@dataclass(slots=True)
class Answer:
    """A decision, for as long as it stands by itself. Whoever answers in bytes keeps them here."""

    decision: Decision
    since: datetime
    until: datetime | None
    written: bytes | None = None
    headers: list[tuple[bytes, bytes]] | None = None

    def stands(self, now: datetime) -> bool:
        """Tell whether nothing but a change of the grants can have changed it."""
        return self.since <= now and (self.until is None or now < self.until)


@dataclass(slots=True)
class Known:
    """What is remembered of one reader."""

    sub: str
    row: EntitlementRow | None
    read_at: float  # monotonic seconds, before it was asked for
    certain: bool = True  # False: the database is away, and this is how it was
    answers: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """The answer for every feature. The version rises whenever what is granted changes."""

    sub: str
    features: dict[str, Decision]  # those that may be used
    refused: dict[str, Decision]
    version: int
    lasts: timedelta | None  # for how long all of it stands by itself


class Entitlements:
    """Answers from memory, and from the database. One for each process."""

    def __init__(
        self,
        lookup: EntitlementLookup,
        catalogue: Catalogue,
        *,
        outage_allowance: timedelta,
        most: int = REMEMBERED,
        time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup, self._catalogue, self._most, self._time = lookup, catalogue, most, time
        self._outage_allowance = outage_allowance.total_seconds()
        self._kept: OrderedDict[str, Known] = OrderedDict()
        self._reading: dict[str, object] = {}
        self._heard_until = float("-inf")

    def forget(self, sub: str) -> None:
        """Something of this reader has changed. What is being read just now may be how it was."""
        self._kept.pop(sub, None)
        self._reading.pop(sub, None)

    def forget_all(self) -> None:
        """Something may have changed that was not heard."""
        self._kept.clear()
        self._reading.clear()
        self._heard_until = float("-inf")

    def heard(self, until: float) -> None:
        """Every change that was committed until then, in monotonic seconds, has been told to :meth:`forget`."""
        self._heard_until = until

    def at_hand(self, sub: str) -> Known | None:
        """Return what is remembered of a reader, if it can be relied on."""
        known = self._kept.get(sub)
        if known is None:
            return None
        earliest = self._time() - BOUND
        if known.read_at < earliest and self._heard_until < earliest:
            return None
        self._kept.move_to_end(sub)
        return known

    async def look(self, sub: str) -> Known:
        """
        Return what is known of a reader, from memory or from the database.

        :raises DatabaseUnavailable: the database is away, and nothing is remembered that would do.
        """
        return self.at_hand(sub) or await self.read(sub)

    async def read(self, sub: str) -> Known:
        """Return what the database says of a reader, and remember it; as :meth:`look`."""
        if not is_storable(sub):
            return Known(sub, None, self._time())
        begun = self._reading[sub] = object()
        asked_at = self._time()
        try:
            row = await self._lookup.get(sub)
        except DatabaseUnreachable as failure:
            return self._as_it_was(sub, failure)
        finally:
            undisturbed = self._reading.get(sub) is begun
            if undisturbed:
                del self._reading[sub]
        known = Known(sub, row, asked_at)
        if undisturbed:
            self._kept[sub] = known
            self._kept.move_to_end(sub)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return known

    def _as_it_was(self, sub: str, failure: DatabaseUnreachable) -> Known:
        known = self._kept.get(sub)
        if known is None or self._time() - max(known.read_at, self._heard_until) > self._outage_allowance:
            raise DatabaseUnavailable("the database does not answer") from failure
        return replace(known, certain=False)

    def answer(self, known: Known, feature: str, *, now: datetime) -> Answer:
        """
        Return the answer about one feature.

        :raises UnknownFeature: the catalogue has no such feature.
        :raises DatabaseUnavailable: it would be a refusal, and the database is away.
        """
        found = known.answers.get(feature)
        if found is None or not found.stands(now):
            catalogue = self._catalogue
            catalogue.feature(feature)
            access = load_feature(feature, known.row.parsed) if known.row is not None else NO_ENTITLEMENTS
            until = next_change(access, catalogue, (feature,), now=now)
            found = Answer(decide(access, feature, catalogue, now=now), now, until)
            known.answers[feature] = found
        if not known.certain and not found.decision.allowed:
            raise DatabaseUnavailable("the database does not answer")
        return found

    async def check(self, sub: str, feature: str, *, now: datetime) -> Answer:
        """Return the answer for one reader and one feature. A reader we do not know is a normal answer."""
        self._catalogue.feature(feature)
        return self.answer(await self.look(sub), feature, now=now)

    async def check_many(self, subs: Iterable[str], feature: str, *, now: datetime) -> Mapping[str, Decision]:
        """Return the answers for many readers."""
        self._catalogue.feature(feature)
        known = await asyncio.gather(*(self.look(sub) for sub in dict.fromkeys(subs)))  # the reader reads them at once
        return {one.sub: self.answer(one, feature, now=now).decision for one in known}

    async def everything(self, sub: str, *, now: datetime) -> Entitled:
        """Return the answer for every feature there is."""
        known = await self.look(sub)
        catalogue = self._catalogue
        access: EntitlementSet = load(known.row.parsed) if known.row is not None else NO_ENTITLEMENTS
        answers = decisions(access, catalogue, now=now)
        allowed = {name: answer for name, answer in answers.items() if answer.allowed}
        if not known.certain and not allowed:
            raise DatabaseUnavailable("the database does not answer")
        until = next_change(access, catalogue, catalogue.features, now=now)
        return Entitled(
            sub=sub,
            features=allowed,
            refused={name: answer for name, answer in answers.items() if not answer.allowed},
            version=known.row.version if known.row is not None else 0,
            lasts=until - now if until is not None else None,
        )
