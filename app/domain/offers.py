"""
What a plan promises, and which promises a term keeps.

The catalogue changes while terms run. What gets better applies at once; what gets worse applies from a reader's next term
(rules.md, rule 12). So the history of each plan is kept, and a term has the best of everything that was offered from when it
was paid for. That never decreases: it doesn't depend on which process asks, nor on which catalogue file that process has.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from app.domain.dunning import AccessPolicy
from app.domain.plans import PRINT_FEATURE, Catalogue, Plan

STAYS_OPEN = timedelta(
    days=1
)  # for which an offer can still be accepted after it has changed: a checkout is open as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a plan promises to those who pay for it, apart from its price and its number of issues."""

    plan: str
    features: tuple[str, ...]  # sorted; the announced ones too
    double_issues: int  # how many of the issues owed a double issue serves: fewer are better
    grace_period: timedelta
    renewal_allowance: timedelta

    def joined(self, other: "Offer") -> "Offer":
        """Return the better of both in each respect."""
        return Offer(
            plan=self.plan,
            features=tuple(sorted({*self.features, *other.features})),
            double_issues=min(self.double_issues, other.double_issues),
            grace_period=max(self.grace_period, other.grace_period),
            renewal_allowance=max(self.renewal_allowance, other.renewal_allowance),
        )

    def features_of(self, *, print_edition: bool) -> tuple[str, ...]:
        """Return the names of the features that a term includes, including announced ones."""
        return tuple(name for name in self.features if print_edition or name != PRINT_FEATURE)

    def applied_to(self, policy: AccessPolicy) -> AccessPolicy:
        """Return the access policy with what the offer promises."""
        return replace(policy, grace_period=self.grace_period, renewal_allowance=self.renewal_allowance)

    def dump(self) -> dict[str, Any]:
        """Return the stored form. Durations are in seconds."""
        return {
            "plan": self.plan,
            "features": list(self.features),
            "double_issues": self.double_issues,
            "grace_period": self.grace_period.total_seconds(),
            "renewal_allowance": self.renewal_allowance.total_seconds(),
        }

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Self:
        """Return the offer from its stored form."""
        return cls(
            plan=stored["plan"],
            features=tuple(stored["features"]),
            double_issues=stored["double_issues"],
            grace_period=timedelta(seconds=stored["grace_period"]),
            renewal_allowance=timedelta(seconds=stored["renewal_allowance"]),
        )

    @property
    def id(self) -> str:
        """The fingerprint of the content."""
        content = json.dumps(self.dump(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class OfferVersion:
    """An offer, and since when it is made. ``since`` is policy time."""

    offer: Offer
    since: datetime


@dataclass(frozen=True, slots=True)
class OfferChange:
    """A difference between the recorded offer of a plan and a new one."""

    plan: str
    what: str
    is_better: bool  # for current subscribers, who then have it at once

    def __str__(self) -> str:
        when = "at once" if self.is_better else "from each subscriber's next term"
        return f"{self.plan}: {self.what}, {when}"


class OfferHistory:
    """Everything that was ever offered, by plan."""

    def __init__(self, versions: Iterable[OfferVersion]) -> None:
        """Take the versions of all plans, the oldest first."""
        self._versions: dict[str, list[OfferVersion]] = {}
        for version in versions:
            self._versions.setdefault(version.offer.plan, []).append(version)

    def latest(self, plan: str) -> Offer | None:
        """Return the current offer of a plan; None if none was recorded."""
        versions = self._versions.get(plan)
        return versions[-1].offer if versions else None

    def returns_early(self, offer: Offer, *, now: datetime) -> bool:
        """
        Return whether an offer was made before and replaced less than :data:`STAYS_OPEN` ago.

        It then comes from a process that restarts with the old catalogue while others start with the new one, or from a
        catalogue that was changed back. Until that time has passed, who pays has the best of both (:meth:`kept`).
        """
        versions = self._versions.get(offer.plan, [])
        return any(one.offer == offer for one in versions[:-1]) and now - versions[-1].since < STAYS_OPEN

    def kept(self, plan: str, *, paid_at: datetime, ends_at: datetime) -> Offer | None:
        """
        Return the best of what was offered from the payment on; None if no offer of the plan was recorded.

        The first recorded version also applies to earlier payments. Double issues are counted as in what was offered before
        the paid period ended, so that a term that is fully served owes no further issues.
        """
        versions = self._versions.get(plan, [])
        found: Offer | None = None
        for index, version in enumerate(versions):
            replaced_at = versions[index + 1].since if index + 1 < len(versions) else None
            if replaced_at is not None and replaced_at + STAYS_OPEN <= paid_at:
                continue
            offer = version.offer
            if found is None:
                found = offer
                continue
            is_late = version.since >= ends_at
            found = found.joined(replace(offer, double_issues=found.double_issues) if is_late else offer)
        return found


def offer_of(plan: Plan, policy: AccessPolicy) -> Offer:
    """Return what the catalogue and the settings promise for a plan."""
    return Offer(
        plan=plan.code,
        features=tuple(sorted(plan.features)),
        double_issues=plan.double_issues,
        grace_period=policy.grace_period,
        renewal_allowance=policy.renewal_allowance,
    )


def offers_of(catalogue: Catalogue, policy: AccessPolicy) -> dict[str, Offer]:
    """Return the current offer of each plan."""
    return {code: offer_of(plan, policy) for code, plan in catalogue.plans.items()}


def improved_plans(history: OfferHistory, changed: Sequence[Offer]) -> list[str]:
    """Return the plans whose subscribers get something better from changed offers. The first offer of a plan counts."""
    found = []
    for offer in changed:
        before = history.latest(offer.plan)
        if before is None or before.joined(offer) != before:
            found.append(offer.plan)
    return found


def offer_changes(history: OfferHistory, wanted: Mapping[str, Offer]) -> list[OfferChange]:
    """Return what changes for the subscribers of plans that were offered before, when ``wanted`` is offered."""
    found = []
    for plan, new in wanted.items():
        old = history.latest(plan)
        if old is not None:
            found += [OfferChange(plan, what, is_better) for what, is_better in _differences(old, new)]
    return found


def _differences(old: Offer, new: Offer) -> Iterator[tuple[str, bool]]:
    """Yield what differs, in words, and whether it gets better."""
    for name in sorted({*new.features} - {*old.features}):
        yield f"add the feature {name}", True
    for name in sorted({*old.features} - {*new.features}):
        yield f"remove the feature {name}", False
    if old.double_issues != new.double_issues:
        issues = f"{new.double_issues} issue{'s' if new.double_issues > 1 else ''} instead of {old.double_issues}"
        yield f"count a double issue as {issues}", new.double_issues < old.double_issues
    for name in ("grace_period", "renewal_allowance"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"change the {name.replace('_', ' ')} from {_in_days(before)} to {_in_days(after)}", after > before


def _in_days(duration: timedelta) -> str:
    return str(duration) if duration % timedelta(days=1) else f"{duration.days} days"
