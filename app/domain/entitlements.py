"""
Who may use what, until when, and why; or why not.

Access is the union of grants. A grant holds, for each feature, *spells*: half-open times and the reason they
are granted for. What depends on the time is decided when it is asked: nothing has to happen for access to end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.plans import Catalogue

PAID_TERM = "paid_term"
RENEWAL_PENDING = "renewal_pending"
GRACE_PERIOD = "grace_period"
ISSUES_OWED = "issues_owed"
NEVER_SUBSCRIBED = "never_subscribed"
NOT_INCLUDED = "not_included"
NOT_YET = "not_yet"
COMING_SOON = "coming_soon"
ENDED = "ended"
REFUNDED = "refunded"
PAYMENT_FAILED = "payment_failed"
PAYMENT_INCOMPLETE = "payment_incomplete"


@dataclass(frozen=True, slots=True)
class Spell:
    """From ``starts_at`` (included) to ``until`` (not), granted for ``reason``."""

    starts_at: datetime
    until: datetime
    reason: str

    def covers(self, now: datetime) -> bool:
        """Tell whether ``now`` lies within."""
        return self.starts_at <= now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One source of entitlements. Ending one never takes what another gives."""

    id: str
    source: str
    features: Mapping[str, tuple[Spell, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The union of a subscriber's grants, and the reason that counts when none of them does."""

    features: Mapping[str, tuple[Spell, ...]] = field(default_factory=dict)
    otherwise: str = NEVER_SUBSCRIBED


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to "may this reader open this?"."""

    allowed: bool
    reason: str
    until: datetime | None


NOBODY = Access()


def unite(grants: Iterable[Grant], lapses: Sequence[str]) -> Access:
    """Return the union of all grants; ``lapses`` are the reasons of the subscriptions, the newest last."""
    features: dict[str, list[Spell]] = {}
    for grant in grants:
        for name, spells in grant.features.items():
            features.setdefault(name, []).extend(spells)
    return Access(
        features={name: tuple(sorted(set(spells), key=_order)) for name, spells in sorted(features.items())},
        otherwise=lapses[-1] if lapses else NEVER_SUBSCRIBED,
    )


def _order(spell: Spell) -> tuple[datetime, datetime, str]:
    return spell.starts_at, spell.until, spell.reason


def decide(access: Access, feature: str, catalogue: Catalogue, *, now: datetime) -> Decision:
    """
    Answer whether ``feature`` may be used at ``now``, for which reason, and until when.

    :raises UnknownFeature: if the catalogue has no such feature.
    """
    if not catalogue.feature(feature).is_granted(now):
        return Decision(False, COMING_SOON, None)
    spells = access.features.get(feature, ())
    running = [spell for spell in spells if spell.covers(now)]
    if running:
        best = max(running, key=lambda spell: spell.until)
        return Decision(True, best.reason, best.until)
    if any(spell.starts_at > now for spell in spells):
        return Decision(False, NOT_YET, None)
    if not spells and any(spell.covers(now) for others in access.features.values() for spell in others):
        return Decision(False, NOT_INCLUDED, None)
    return Decision(False, access.otherwise, max((spell.until for spell in spells), default=None))


def allowed(access: Access, catalogue: Catalogue, *, now: datetime) -> dict[str, Decision]:
    """Return every feature that may be used at ``now``."""
    answers = {name: decide(access, name, catalogue, now=now) for name in catalogue.features}
    return {name: answer for name, answer in answers.items() if answer.allowed}


def dump(access: Access) -> dict[str, object]:
    """Return ``access`` as it is stored: times as epoch seconds."""
    return {"otherwise": access.otherwise, "features": dump_features(access.features)}


def dump_features(features: Mapping[str, Sequence[Spell]]) -> dict[str, object]:
    """Return spells as they are stored."""
    return {
        name: [[int(s.starts_at.timestamp()), int(s.until.timestamp()), s.reason] for s in spells]
        for name, spells in features.items()
    }


def load_features(stored: Mapping[str, Sequence[tuple[int, int, str]]]) -> dict[str, tuple[Spell, ...]]:
    """Return stored spells as they were."""
    return {
        name: tuple(
            Spell(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(until, UTC), reason)
            for start, until, reason in spells
        )
        for name, spells in stored.items()
    }
