"""
The dated policy for notifications: which are sent, for whom, and how many days ahead.

An entry of ``[[policies.notices]]`` applies to what happens on its date or later: to renewals from that day on, for example.
The reader's place decides which entries apply to them. The more specific place counts: a state before its country, and that
before an entry without places. If a reader's place is unknown, the strictest entry counts: one that is sent
before one that is off, then the earliest.

Sources, as of November 2026: California asks for notice 15 to 45 days before the renewal of a term of a year or more, and
for a yearly reminder (Business and Professions Code, section 17602). Mastercard asks for notice 7 to 30 days before the
renewal. 15 to 30 days satisfy both. Visa asks for notice 7 days before a trial or promotion ends. :data:`DAYS_AHEAD` has the
ranges. They are no legal advice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from app.domain.notifications import Channel, NotificationKind
from app.domain.places import ANYWHERE, Place

# The days before the event that a policy may choose, and the default. A kind that is missing is sent when it happens.
DAYS_AHEAD: Mapping[NotificationKind, tuple[int, int, int]] = {
    NotificationKind.RENEWAL_AHEAD: (7, 45, 30),
    NotificationKind.YEARLY_REMINDER: (0, 60, 0),
    NotificationKind.PRICE_CHANGE: (7, 30, 30),
    NotificationKind.TRIAL_ENDING: (3, 30, 7),
    NotificationKind.PROMOTION_ENDING: (3, 30, 7),
    NotificationKind.CARD_EXPIRING: (0, 60, 30),
}
A_DAY = timedelta(days=1)
SINCE_EVER = date(2000, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationPolicy:
    """One entry: a kind of notification for readers of some places, from a day on."""

    kind: NotificationKind
    since: date = SINCE_EVER
    places: tuple[str, ...] = ()  # see app.domain.places.Place.is_in; none: everywhere
    days: int = 0  # before the event
    channel: Channel = Channel.EMAIL
    template: str | None = None  # None: the kind's

    @property
    def strictness(self) -> tuple[bool, int]:
        """The order of strictness: one that is sent before one that isn't, then the earliest."""
        return self.channel is not Channel.OFF, self.days


DEFAULT_POLICIES: tuple[NotificationPolicy, ...] = tuple(
    NotificationPolicy(kind=kind, days=DAYS_AHEAD[kind][2] if kind in DAYS_AHEAD else 0) for kind in NotificationKind
)


def policy_for(
    policies: Sequence[NotificationPolicy], kind: NotificationKind, place: Place, day: date
) -> NotificationPolicy | None:
    """
    Return the entry that applies to an event on ``day``; None if the kind is not sent.

    :param place: the reader's.
    """
    in_force: dict[tuple[str, ...], NotificationPolicy] = {}
    for one in sorted((one for one in policies if one.kind is kind and one.since <= day), key=lambda one: one.since):
        in_force[tuple(sorted(one.places))] = one  # a later entry for the same places replaces the earlier one
    ranked = [(_rank(one.places, place), one) for one in in_force.values()]
    best = max((rank for rank, _ in ranked), default=0)
    found = [one for rank, one in ranked if rank == best and rank > 0]
    return max(found, key=lambda one: one.strictness, default=None)


def _rank(areas: Sequence[str], place: Place) -> int:
    """Return how specifically areas name a reader's place; 0 if they don't. All count alike for an unknown place."""
    if not place.is_known or not areas:
        return 1
    return max(_rank_of(area, place) for area in areas)


def _rank_of(area: str, place: Place) -> int:
    if not place.is_in(area):
        # If the reader's state is unknown, it may be this one.
        return 4 if place.region is None and area.startswith(f"{place.country}-") else 0
    return {ANYWHERE: 1, "EEA": 2, "EU": 3, place.country: 4}.get(area, 5)


def ahead(policy: NotificationPolicy) -> timedelta:
    """Return how long before the event a notification is sent."""
    return timedelta(days=policy.days)


@dataclass(frozen=True, slots=True)
class RecordedPolicies:
    """The policies that apply since a time, as a process recorded them when it started."""

    policies: tuple[NotificationPolicy, ...]
    since: datetime


def returns_early(history: Sequence[RecordedPolicies], wanted: Sequence[NotificationPolicy], now: datetime) -> bool:
    """Return whether policies were replaced less than a day ago: then a process with the old catalogue was restarted."""
    replaced = pairwise(history)
    return any(set(old.policies) == set(wanted) and now - new.since < A_DAY for old, new in replaced)


def dump(policies: Sequence[NotificationPolicy]) -> list[dict[str, Any]]:
    """Return the stored form of policies."""
    return [
        {
            "kind": one.kind.value,
            "from": one.since.isoformat(),
            "places": list(one.places),
            "days": one.days,
            "channel": one.channel.value,
            "template": one.template,
        }
        for one in policies
    ]


def load(stored: Iterable[Mapping[str, Any]]) -> tuple[NotificationPolicy, ...]:
    """Return policies of their stored form. Kinds that a newer release added are left out."""
    known = set(NotificationKind)
    return tuple(
        NotificationPolicy(
            kind=NotificationKind(one["kind"]),
            since=date.fromisoformat(one["from"]),
            places=tuple(one["places"]),
            days=one["days"],
            channel=Channel(one["channel"]),
            template=one["template"],
        )
        for one in stored
        if one["kind"] in known
    )
