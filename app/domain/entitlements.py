"""
Who may use what, until when, and why; or why not.

Access is the union of grants. A grant holds, for each feature, *spells*: half-open times and the reason they
are granted for. What depends on the time is decided when it is asked: nothing has to happen for access to end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.domain.plans import AccessPolicy, Catalogue
from app.domain.subscriptions import Subscription, Term

PAID_TERM = "paid_term"
RENEWAL_PENDING = "renewal_pending"
GRACE_PERIOD = "grace_period"
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


def grants_of(
    subscription: Subscription, terms: Sequence[Term], catalogue: Catalogue, policy: AccessPolicy
) -> list[Grant]:
    """
    Return what a subscription's paid terms grant.

    The newest term of a subscription that neither ends nor failed outlives its period by the renewal allowance, and one
    whose renewal failed by the grace period: a payer is not locked out by Stripe's timing (product.md, rule 3). What
    was ended early, by a refund or at once, is cut there; a refunded term is never granted, whatever Stripe says.
    """
    cut = min((at for at in (subscription.ended_at, subscription.ended_here_at) if at is not None), default=None)
    counted = [term for term in terms if term.refunded_as is None]
    newest = max((term.ends_at for term in counted), default=None)
    grants = []
    for term in counted:
        spells = [Spell(term.starts_at, term.ends_at, PAID_TERM)]
        if term.ends_at == newest:
            spells += _beyond(subscription, term, policy)
        if cut is not None:
            spells = [Spell(s.starts_at, min(s.until, cut), s.reason) for s in spells if s.starts_at < cut]
        if spells:
            plan = catalogue.plan(term.plan)
            names = plan.features_of(print_edition=term.print_edition)
            grants.append(
                Grant(id=f"grt_{term.invoice_id}", source=PAID_TERM, features=dict.fromkeys(names, tuple(spells)))
            )
    return grants


def _beyond(subscription: Subscription, term: Term, policy: AccessPolicy) -> list[Spell]:
    """Return what is granted after the last paid term."""
    if subscription.status == "past_due":
        return [Spell(term.ends_at, term.ends_at + policy.grace_period, GRACE_PERIOD)]
    ends_with_it = subscription.cancel_at is not None and subscription.cancel_at <= term.ends_at
    if subscription.status in {"active", "trialing"} and not ends_with_it:
        return [Spell(term.ends_at, term.ends_at + policy.renewal_allowance, RENEWAL_PENDING)]
    return []


def lapse_of(subscription: Subscription, terms: Sequence[Term]) -> str:
    """Return why a subscription grants nothing, for the time when it does not."""
    newest = max(terms, key=lambda term: term.ends_at, default=None)
    if newest is not None and newest.refunded_as is not None:
        return REFUNDED
    if newest is None:
        return PAYMENT_INCOMPLETE
    if subscription.end_reason == "payment_failed" or subscription.status in {"past_due", "unpaid"}:
        return PAYMENT_FAILED
    return ENDED


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
