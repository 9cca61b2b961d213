"""
Entitlements: which features a reader may use, until when and why.

Access is the union of all grants. A grant has access periods for each feature: half-open intervals with a reason. Whether a
period applies is decided at each check, so access ends by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.errors import Forbidden
from app.domain.plans import PRINT_FEATURE, Catalogue

# The end of access that lasts until something happens, such as the outcome of a payment. Answers show no end then.
OPEN_ENDED = datetime(9999, 12, 31, tzinfo=UTC)
PAST_KEPT_FOR = timedelta(days=400)  # in stored entitlements: the term before the current one, too


class AccessReason(StrEnum):
    """Why a feature may be used, or why not. Values are part of the API."""

    # access, and the sources of grants
    PAID_TERM = "paid_term"
    COMP = "comp"
    TRIAL = "trial"
    RENEWAL_PENDING = "renewal_pending"
    GRACE_PERIOD = "grace_period"
    ISSUES_OWED = "issues_owed"
    # no access
    NEVER_SUBSCRIBED = "never_subscribed"
    NOT_INCLUDED = "not_included"
    NOT_YET = "not_yet"
    ON_HOLD = "on_hold"
    COMING_SOON = "coming_soon"
    ENDED = "ended"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_INCOMPLETE = "payment_incomplete"
    DISPUTE_OPEN = "dispute_open"
    DISPUTE_LOST = "dispute_lost"


@dataclass(frozen=True, slots=True)
class AccessPeriod:
    """Access from ``starts_at`` (inclusive) to ``until`` (exclusive) for ``reason``. ``grant`` is its ID, once combined."""

    starts_at: datetime
    until: datetime
    reason: str
    grant: str = ""

    def covers(self, now: datetime) -> bool:
        """Return whether ``now`` is within the period."""
        return self.starts_at <= now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One source of entitlements. Ending a grant doesn't affect the access that others give."""

    id: str
    source: str
    features: Mapping[str, tuple[AccessPeriod, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementSet:
    """The union of a subscriber's grants. ``otherwise`` is the reason if none of them applies."""

    features: Mapping[str, tuple[AccessPeriod, ...]] = field(default_factory=dict)
    otherwise: str = AccessReason.NEVER_SUBSCRIBED


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Whether a reader may use a feature, and why.

    :param until: when access ends or ended; None: it never started, or no end is known.
    :param grant: the ID of the grant that allows it.
    """

    allowed: bool
    reason: str
    until: datetime | None
    grant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAccess:
    """
    The access that a reader has apart from one subscription. ``until`` and ``reason`` are those of the last to end.

    ``until`` is None while no end is known, for example while a payment is processing.
    """

    features: tuple[str, ...]
    until: datetime | None
    reason: str


class NotEntitled(Forbidden):
    """The reader has no access to this feature."""

    code = "not_entitled"
    title = "No access to this feature"


NO_ENTITLEMENTS = EntitlementSet()


def combine_grants(grants: Iterable[Grant], lapses: Sequence[str]) -> EntitlementSet:
    """Return the union of all grants. ``lapses`` are the denial reasons of the subscriptions, the newest last."""
    features: dict[str, list[AccessPeriod]] = {}
    for grant in grants:
        named: dict[int, list[AccessPeriod]] = {}  # most features of a grant share their periods
        for name, periods in grant.features.items():
            if id(periods) not in named:
                named[id(periods)] = [replace(period, grant=grant.id) for period in periods]
            features.setdefault(name, []).extend(named[id(periods)])
    return EntitlementSet(
        features={name: tuple(sorted(set(periods), key=_order)) for name, periods in sorted(features.items())},
        otherwise=lapses[-1] if lapses else AccessReason.NEVER_SUBSCRIBED,
    )


def without_past(access: EntitlementSet, *, now: datetime) -> EntitlementSet:
    """
    Return the part of ``access`` that decisions from ``now`` on depend on: what lasts, begins or ended lately.

    Of each feature, the period that ends last is kept as well, because answers say when access ended.
    """
    since = now - PAST_KEPT_FOR
    features: dict[str, tuple[AccessPeriod, ...]] = {}
    for name, periods in access.features.items():
        last = max((period.until for period in periods), default=since)
        features[name] = tuple(period for period in periods if period.until > since or period.until == last)
    return replace(access, features=features)


def _order(period: AccessPeriod) -> tuple[datetime, datetime, str, str]:
    return period.starts_at, period.until, period.reason, period.grant


def decide(access: EntitlementSet, feature: str, catalogue: Catalogue, *, now: datetime) -> Decision:
    """
    Return whether ``feature`` may be used at ``now``, why, and until when.

    :raises UnknownFeature: the catalogue doesn't have the feature.
    """
    if not catalogue.feature(feature).is_granted(now):
        return Decision(False, AccessReason.COMING_SOON, None)
    periods = access.features.get(feature, ())
    running = [period for period in periods if period.covers(now)]
    if running:
        best = max(running, key=lambda period: period.until)
        # Owed issues extend access for certain, unlike a renewal allowance.
        owed = (one.until for one in periods if one.reason == AccessReason.ISSUES_OWED and one.starts_at <= best.until)
        until = max(best.until, *owed, best.until)
        return Decision(True, best.reason, until if until < OPEN_ENDED else None, best.grant or None)
    if any(period.starts_at > now for period in periods):
        is_interrupted = any(period.until <= now for period in periods)
        return Decision(False, AccessReason.ON_HOLD if is_interrupted else AccessReason.NOT_YET, None)
    if not periods and any(period.covers(now) for others in access.features.values() for period in others):
        is_held = feature == PRINT_FEATURE and access.otherwise == AccessReason.DISPUTE_OPEN
        return Decision(False, AccessReason.DISPUTE_OPEN if is_held else AccessReason.NOT_INCLUDED, None)
    return Decision(False, access.otherwise, max((period.until for period in periods), default=None))


def decisions(access: EntitlementSet, catalogue: Catalogue, *, now: datetime) -> dict[str, Decision]:
    """Return the decision for each feature of the catalogue."""
    return {name: decide(access, name, catalogue, now=now) for name in catalogue.features}


def allowed(access: EntitlementSet, catalogue: Catalogue, *, now: datetime) -> dict[str, Decision]:
    """Return the decisions for the features that may be used at ``now``."""
    return {name: answer for name, answer in decisions(access, catalogue, now=now).items() if answer.allowed}


def other_access_of(grants: Iterable[Grant], catalogue: Catalogue, *, now: datetime) -> OtherAccess | None:
    """
    Return what remains open to a reader whose subscription doesn't count; None if nothing does.

    :param grants: those of other sources, such as complimentary access or another subscription.
    """
    kept = allowed(combine_grants(grants, ()), catalogue, now=now)
    if not kept:
        return None
    until, reason = max((decision.until or OPEN_ENDED, decision.reason) for decision in kept.values())
    return OtherAccess(features=tuple(kept), until=until if until != OPEN_ENDED else None, reason=reason)


def next_change(
    access: EntitlementSet, catalogue: Catalogue, features: Iterable[str], *, now: datetime
) -> datetime | None:
    """
    Return when a decision for one of ``features`` changes, if no grant changes; None: never.

    The periods of all features count, because they decide whether a feature is not included or has ended.
    """
    moments = [
        at for periods in access.features.values() for period in periods for at in (period.starts_at, period.until)
    ]
    moments += [opens for name in features if (opens := catalogue.feature(name).available_from) is not None]
    return min((at for at in moments if at > now), default=None)


def is_reduced(before: EntitlementSet, after: EntitlementSet, *, since: datetime, until: datetime) -> bool:
    """
    Return whether ``after`` gives less access than ``before`` at any time from ``since`` to ``until``.

    If so, decisions and tokens valid for that time must be revoked.
    """
    for name, periods in before.features.items():
        left = [(max(s.starts_at, since), min(s.until, until)) for s in periods]
        for kept in after.features.get(name, ()):
            left = [part for begin, end in left for part in _remainder(begin, end, kept)]
        if any(begin < end for begin, end in left):
            return True
    return False


def _remainder(begin: datetime, end: datetime, period: AccessPeriod) -> list[tuple[datetime, datetime]]:
    return [(begin, min(end, period.starts_at)), (max(begin, period.until), end)] if begin < end else []


def dump(access: EntitlementSet) -> dict[str, object]:
    """Return the stored form of ``access``. Times are epoch seconds."""
    return {"otherwise": access.otherwise, "features": dump_features(access.features)}


def dump_features(features: Mapping[str, Sequence[AccessPeriod]]) -> dict[str, object]:
    """Return the stored form of periods: ``[from, until, reason]``, then the grant's ID if there is one."""
    dumped: dict[int, list[list[Any]]] = {}  # most features share their periods
    for periods in features.values():
        if id(periods) not in dumped:
            dumped[id(periods)] = [
                [int(s.starts_at.timestamp()), int(s.until.timestamp()), s.reason, *([s.grant] if s.grant else [])]
                for s in periods
            ]
    return {name: dumped[id(periods)] for name, periods in features.items()}


def load_features(stored: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, tuple[AccessPeriod, ...]]:
    """Return the periods from their stored form."""
    return {
        name: tuple(
            AccessPeriod(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(until, UTC), *rest)
            for start, until, *rest in periods
        )
        for name, periods in stored.items()
    }


def load(stored: Mapping[str, Any]) -> EntitlementSet:
    """Return the entitlements from their stored form."""
    return EntitlementSet(features=load_features(stored["features"]), otherwise=stored["otherwise"])
