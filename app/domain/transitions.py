"""
The transitions between the statuses of a Stripe subscription.

A subscription is fetched now and then, so several transitions may happen between two fetches. What counts is whether any
sequence of them leads to the new status. If none does, the change is reported: see
:func:`app.domain.status_table.classify`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from app.domain.subscriptions import SubscriptionStatus

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
_PAID = Transition("the open invoice is paid or voided", STATUSES)

_S = SubscriptionStatus
TRANSITIONS: Mapping[SubscriptionStatus, Mapping[SubscriptionStatus, Transition]] = {
    _S.INCOMPLETE: {
        _S.ACTIVE: Transition("its first invoice is paid, or its bank debit is processing", STATUSES),
        _S.INCOMPLETE_EXPIRED: Transition("its first invoice was not paid within 23 hours", STATUSES),
        _S.CANCELED: _CANCELLED,
    },
    _S.INCOMPLETE_EXPIRED: {},
    _S.TRIALING: {
        _S.ACTIVE: Transition("the trial ends, and the first invoice is created", TRIALS),
        _S.PAST_DUE: Transition("the trial ends, and the first payment fails", TRIALS),
        _S.PAUSED: Transition("the trial ends, and there is no card, or it is paused", TRIALS),
        _S.CANCELED: _CANCELLED,
    },
    _S.ACTIVE: {
        _S.TRIALING: _MOVED,
        _S.PAST_DUE: Transition("a renewal fails, or an invoice sent by email is overdue", STATUSES),
        _S.PAUSED: Transition("it is paused, or a renewal fails and the account is set to pause it", PAUSE),
        _S.CANCELED: _CANCELLED,
    },
    _S.PAST_DUE: {
        _S.ACTIVE: _PAID,
        _S.TRIALING: _MOVED,
        _S.UNPAID: Transition("all retries failed, and the account keeps such subscriptions", RETRIES),
        _S.PAUSED: Transition("all retries failed, and the account is set to pause it, or it is paused", PAUSE),
        _S.CANCELED: Transition("all retries failed, or it is canceled", RETRIES),
    },
    _S.UNPAID: {_S.ACTIVE: _PAID, _S.TRIALING: _MOVED, _S.CANCELED: _CANCELLED},
    _S.PAUSED: {
        _S.ACTIVE: Transition("it is resumed, or the open invoice is paid", PAUSE),
        _S.PAST_DUE: Transition("it is resumed, and the payment fails", PAUSE),
        _S.CANCELED: _CANCELLED,
    },
    _S.CANCELED: {},
}
ENDED_IS_FINAL = "an ended subscription can't restart"
ALREADY_COMPLETE = "only a subscription whose first invoice is unpaid is incomplete"


@cache
def reachable_from(status: SubscriptionStatus) -> frozenset[SubscriptionStatus]:
    """Return every status that can be reached by one or more transitions."""
    found: set[SubscriptionStatus] = set()
    coming = list(TRANSITIONS[status])
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
    origin = SubscriptionStatus(before)
    if not TRANSITIONS[origin]:
        return ENDED_IS_FINAL
    if after not in TRANSITIONS or after in reachable_from(origin):
        return None
    return ALREADY_COMPLETE


def unreachable_origin(before: str, after: str, last_believed: str | None) -> str | None:
    """
    Return the status that the new one can't follow, to be stored with it; None if the transition is possible.

    :param last_believed: the status stored so far. Later ones are compared with it until one of them is possible.
    """
    origin = last_believed or before
    return origin if unreachable_reason(origin, after) is not None else None
