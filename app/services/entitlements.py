"""
Entitlement checks: may this reader use this feature? One indexed row, cached, and decided at the time of the check.

A cached row is never outdated by more than :data:`MAX_STALENESS` seconds: it is used only if it was read recently, or if
every change that was committed until recently has been received (see :mod:`app.db.engine.change_feed`). While the database
is unavailable, readers with recent access keep it for the outage allowance, and a check without a usable row raises
an error instead of refusing access.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import LRUCache

from app.db.engine.session import PATIENCE, DatabaseUnreachable
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

MAX_STALENESS = 0.9  # seconds; the promise is one second, and the rest of it is for the network
CACHE_SIZE = 50_000  # readers; about 2 KB each, for a year with its renewal
UNAVAILABLE = "The database can't be reached"


@dataclass(slots=True)
class CachedDecision:
    """A decision, and the period for which it is valid unless the grants change."""

    decision: Decision
    since: datetime
    until: datetime | None
    body: bytes | None = None  # of the response, once it was written
    headers: list[tuple[bytes, bytes]] | None = None

    def is_valid(self, now: datetime) -> bool:
        """Return whether only a change of the grants can have changed the decision."""
        return self.since <= now and (self.until is None or now < self.until)


@dataclass(slots=True)
class CachedReader:
    """The cached row of a reader, and the decisions that follow from it."""

    sub: str
    row: EntitlementRow | None
    read_at: float  # monotonic seconds, before the query; if it is outdated, until when it was known to be right
    outdated: bool = False  # changes may have been missed: it is used only if the database is unavailable
    confirmed: bool = True  # False: the database is unavailable, and this is the last known row
    decisions: dict[str, CachedDecision] = field(default_factory=dict)

    @property
    def had_access(self) -> bool:
        """Whether a check of this reader was answered with access."""
        return any(one.decision.allowed for one in self.decisions.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class AllFeatures:
    """The decision for every feature."""

    sub: str
    features: dict[str, Decision]  # those that may be used
    refused: dict[str, Decision]
    version: int  # increases whenever the grants change
    valid_for: timedelta | None  # unless the grants change; None: without limit


class Entitlements:
    """Decides from the cache and from the database. One for each process."""

    def __init__(
        self,
        lookup: EntitlementLookup,
        catalogue: Catalogue,
        *,
        outage_allowance: timedelta,
        cache_size: int = CACHE_SIZE,
        time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup, self._catalogue, self._time = lookup, catalogue, time
        self._outage_allowance = outage_allowance.total_seconds()
        self._cache: LRUCache[str, CachedReader] = LRUCache(maxsize=cache_size)
        self._queries: dict[str, object] = {}
        self._current_until = self._last_read = float("-inf")

    @property
    def remembers(self) -> bool:
        """Whether checks of readers with recent access would be answered if the database were unavailable now."""
        known_at = max(self._last_read, self._current_until)
        return len(self._cache) > 0 and self._time() - known_at <= self._outage_allowance

    def invalidate(self, sub: str) -> None:
        """Remove a reader whose row has changed. A query that is running may return the old row, so it is not cached."""
        self._cache.pop(sub, None)
        self._queries.pop(sub, None)

    def clear(self) -> None:
        """
        Query all readers again before their next answer, because changes may have been missed.

        Their last known rows are kept for an outage: after a failover, the change feed is often back before the connections
        that serve requests.
        """
        for entry in self._cache.values():
            if not entry.outdated:
                entry.read_at, entry.outdated = max(entry.read_at, self._current_until), True
        self._queries.clear()
        self._last_read = max(self._last_read, self._current_until)
        self._current_until = float("-inf")

    def confirm(self, until: float) -> None:
        """Note that every change committed until then, in monotonic seconds, was passed to :meth:`invalidate`."""
        self._current_until = until

    def cached(self, sub: str) -> CachedReader | None:
        """Return the cached row of a reader, if it is recent enough."""
        try:
            entry = self._cache[sub]
        except KeyError:
            return None
        if entry.outdated:
            return None
        earliest = self._time() - MAX_STALENESS
        return entry if entry.read_at >= earliest or self._current_until >= earliest else None

    async def get(self, sub: str) -> CachedReader:
        """
        Return the row of a reader, from the cache or the database.

        :raises DatabaseUnavailable: the database can't be reached, and no usable row is cached.
        """
        return self.cached(sub) or await self.fetch(sub)

    async def fetch(self, sub: str) -> CachedReader:
        """Query the row of a reader, and cache it. Raises as :meth:`get` does."""
        if not is_storable(sub):
            return CachedReader(sub, None, self._time())
        known = self._usable(sub)
        if known is not None and not known.had_access:
            known = None  # a refusal needs the database, so it is worth waiting for
        if known is not None and self._lookup.is_slow:
            return replace(known, confirmed=False)
        query = self._queries[sub] = object()
        started_at = self._time()
        try:
            future = self._lookup.get(sub)
            if known is not None:
                await asyncio.wait({future}, timeout=PATIENCE)
                if not future.done() and self._cache.get(sub) is known:  # and no change was announced meanwhile
                    future.add_done_callback(lambda late: late.cancelled() or late.exception())  # marks it as retrieved
                    return replace(known, confirmed=False)
            row = await future
        except DatabaseUnreachable as failure:
            return self._last_known(sub, failure)
        finally:
            unchanged = self._queries.get(sub) is query
            if unchanged:
                del self._queries[sub]
        entry = CachedReader(sub, row, started_at)
        self._last_read = started_at
        if unchanged:
            self._cache[sub] = entry
        return entry

    def _last_known(self, sub: str, failure: DatabaseUnreachable) -> CachedReader:
        entry = self._usable(sub)
        if entry is None:
            raise DatabaseUnavailable(UNAVAILABLE) from failure
        return replace(entry, confirmed=False)

    def _usable(self, sub: str) -> CachedReader | None:
        """Return the last known row of a reader, if it may be used while the database does not answer."""
        entry = self._cache.get(sub)
        if entry is None:
            return None
        known_at = entry.read_at if entry.outdated else max(entry.read_at, self._current_until)
        return entry if self._time() - known_at <= self._outage_allowance else None

    def decide(self, entry: CachedReader, feature: str, *, now: datetime) -> CachedDecision:
        """
        Return the decision for one feature.

        :raises UnknownFeature: the catalogue has no such feature.
        :raises DatabaseUnavailable: it would be a refusal, but the row is not confirmed.
        """
        found = entry.decisions.get(feature)
        if found is None or not found.is_valid(now):
            catalogue = self._catalogue
            catalogue.feature(feature)
            access = load_feature(feature, entry.row.parsed) if entry.row is not None else NO_ENTITLEMENTS
            until = next_change(access, catalogue, (feature,), now=now)
            found = CachedDecision(decide(access, feature, catalogue, now=now), now, until)
            entry.decisions[feature] = found
        if not entry.confirmed and not found.decision.allowed:
            raise DatabaseUnavailable(UNAVAILABLE)
        return found

    async def check(self, sub: str, feature: str, *, now: datetime) -> CachedDecision:
        """Return the decision for one reader and feature. A reader who is not a subscriber gets a refusal, not an error."""
        self._catalogue.feature(feature)
        return self.decide(await self.get(sub), feature, now=now)

    async def check_many(self, subs: Iterable[str], feature: str, *, now: datetime) -> Mapping[str, Decision]:
        """Return the decisions for several readers and one feature."""
        self._catalogue.feature(feature)
        entries = await asyncio.gather(*(self.get(sub) for sub in dict.fromkeys(subs)))  # the lookup batches them
        return {entry.sub: self.decide(entry, feature, now=now).decision for entry in entries}

    async def all_features(self, sub: str, *, now: datetime) -> AllFeatures:
        """Return the decision for every feature of the catalogue."""
        entry = await self.get(sub)
        catalogue = self._catalogue
        access: EntitlementSet = load(entry.row.parsed) if entry.row is not None else NO_ENTITLEMENTS
        all_decisions = decisions(access, catalogue, now=now)
        allowed = {name: decision for name, decision in all_decisions.items() if decision.allowed}
        if not entry.confirmed and not allowed:
            raise DatabaseUnavailable(UNAVAILABLE)
        until = next_change(access, catalogue, catalogue.features, now=now)
        return AllFeatures(
            sub=sub,
            features=allowed,
            refused={name: decision for name, decision in all_decisions.items() if not decision.allowed},
            version=entry.row.version if entry.row is not None else 0,
            valid_for=until - now if until is not None else None,
        )
