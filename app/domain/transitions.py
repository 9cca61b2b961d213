"""
From which state Stripe can bring a subscription to which.

We look at it now and then, so that several steps may lie between two looks: what counts is whether any road leads there. A
move that no road leads to is reported and not guessed: see :func:`app.domain.status_table.classify`.
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
    """What brings a subscription from one state into the next."""

    what: str
    source: str


_CANCELLED = Transition("it is cancelled, by whoever may", CANCEL)
_MOVED = Transition("its next billing date is moved by a trial", TRIALS)
_PAUSED = Transition("it is paused itself", PAUSE)
_PAID = Transition("what it owes is paid", STATUSES)

TRANSITIONS: Mapping[str, Mapping[str, Transition]] = {
    "incomplete": {
        "active": Transition("its first invoice is paid", STATUSES),
        "incomplete_expired": Transition("its first invoice was not paid within 23 hours", STATUSES),
        "canceled": _CANCELLED,
    },
    "incomplete_expired": {},
    "trialing": {
        "active": Transition("the trial ends, and its first invoice is drawn up", TRIALS),
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
        "unpaid": Transition("all tries failed, and the account keeps such a subscription", RETRIES),
        "canceled": Transition("all tries failed, or it is cancelled", RETRIES),
    },
    "unpaid": {"active": _PAID, "trialing": _MOVED, "canceled": _CANCELLED},
    "paused": {"active": Transition("it is resumed", PAUSE), "canceled": _CANCELLED},
    "canceled": {},
}
ENDED_IS_FINAL = "what is over stays over: whoever comes back has a new subscription"
ALREADY_COMPLETE = "only the first invoice leaves it incomplete, and that was decided already"


@cache
def reachable_from(state: str) -> frozenset[str]:
    """Return every state that a road of one step or more leads to."""
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
    Return why no road leads from one state to another; None: one does, or it stayed.

    Of a state that this release does not know anything may be true, but that something leads on from what is over.
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
    Return the state that no road leads on from, to be remembered with the new one; None: all is as it can be.

    :param last_believed: what was remembered so far. What follows is held against that, until it can be.
    """
    origin = last_believed or before
    return origin if unreachable_reason(origin, after) is not None else None
