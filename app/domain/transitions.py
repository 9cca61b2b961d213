"""
The transitions between the statuses of a Stripe subscription.

A subscription is fetched now and then, so several transitions may happen between two fetches. What counts is whether any
sequence of them leads to the new status. If none does, the change is reported: see
:func:`app.domain.status_table.classify`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

DOCS = "https://docs.stripe.com"
STATUSES = f"{DOCS}/billing/subscriptions/overview#subscription-statuses"
RETRIES = f"{DOCS}/billing/revenue-recovery/smart-retries"
CANCEL = f"{DOCS}/billing/subscriptions/cancel"
TRIALS = f"{DOCS}/billing/subscriptions/trials"
PAUSE = f"{DOCS}/billing/subscriptions/pause"


@dataclass(frozen=True, slots=True)
class Transition:
    """What takes a subscription from one status to another."""

    what: str
    source: str


_CANCELLED = Transition("it is canceled", CANCEL)
_MOVED = Transition("a trial moves its next billing date", TRIALS)
_PAUSED = Transition("it is paused", PAUSE)
_PAID = Transition("the open invoice is paid", STATUSES)

TRANSITIONS: Mapping[str, Mapping[str, Transition]] = {
    "incomplete": {
        "active": Transition("its first invoice is paid", STATUSES),
        "incomplete_expired": Transition("its first invoice was not paid within 23 hours", STATUSES),
        "canceled": _CANCELLED,
    },
    "incomplete_expired": {},
    "trialing": {
        "active": Transition("the trial ends, and the first invoice is created", TRIALS),
        "past_due": Transition("the trial ends, and the first payment fails", TRIALS),
        "paused": Transition("the trial ends, and there is no card", TRIALS),
        "canceled": _CANCELLED,
    },
    "active": {
        "trialing": _MOVED,
        "past_due": Transition("a renewal fails", STATUSES),
        "paused": _PAUSED,
        "canceled": _CANCELLED,
    },
    "past_due": {
        "active": _PAID,
        "trialing": _MOVED,
        "unpaid": Transition("all retries failed, and the account keeps such subscriptions", RETRIES),
        "canceled": Transition("all retries failed, or it is canceled", RETRIES),
    },
    "unpaid": {"active": _PAID, "trialing": _MOVED, "canceled": _CANCELLED},
    "paused": {"active": Transition("it is resumed", PAUSE), "canceled": _CANCELLED},
    "canceled": {},
}
ENDED_IS_FINAL = "an ended subscription can't restart"
ALREADY_COMPLETE = "only a subscription whose first invoice is unpaid is incomplete"


@cache
def reachable_from(state: str) -> frozenset[str]:
    """Return every status that can be reached by one or more transitions."""
    found: set[str] = set()
    coming = list(TRANSITIONS[state])
    while coming:
        one = coming.pop()
        if one not in found:
            found.add(one)
            coming += TRANSITIONS[one]
    return frozenset(found)


def unreachable_reason(before: str, after: str) -> str | None:
    """
    Return why one status can't follow another; None if it can, or if they are the same.

    A status that this release doesn't know may follow any other, except the final ones.
    """
    if before == after or before not in TRANSITIONS:
        return None
    if not TRANSITIONS[before]:
        return ENDED_IS_FINAL
    if after not in TRANSITIONS or after in reachable_from(before):
        return None
    return ALREADY_COMPLETE


def unreachable_origin(before: str, after: str, last_believed: str | None) -> str | None:
    """
    Return the status that the new one can't follow, to be stored with it; None if the transition is possible.

    :param last_believed: the status stored so far. Later ones are compared with it until one of them is possible.
    """
    origin = last_believed or before
    return origin if unreachable_reason(origin, after) is not None else None
