"""
The grants of a subscription: the access periods of its paid terms, and the reason when there are none.

:mod:`app.domain.entitlements` combines the grants of a reader.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.domain.dunning import AccessPolicy
from app.domain.entitlements import (
    AccessPeriod,
    AccessReason,
    Grant,
)
from app.domain.plans import EDITIONS, Catalogue
from app.domain.reasons import EndReason
from app.domain.status_table import AccessRule, classify
from app.domain.subscriptions import Subscription, Term


def grants_of(
    subscription: Subscription,
    terms: Sequence[Term],
    catalogue: Catalogue,
    policy: AccessPolicy,
    *,
    editions_until: Mapping[str, datetime] | None = None,
) -> list[Grant]:
    """
    Return the grants of a subscription's paid terms.

    If the subscription renews, access continues after the newest term for the renewal allowance; if the renewal failed, for
    the grace period. So Stripe's timing doesn't lock out a paying reader (rules.md, rule 3). If the subscription ended
    early, access ends then. A refunded term grants nothing, in any status at Stripe. A term with a disputed payment may be
    suspended; the allowance and the grace period still apply.

    :param editions_until: by invoice, until when a term's editions stay available after its period because issues are owed
        (rules.md, rule 8). Terms that ended early have none.
    """
    counted = [term for term in terms if not term.is_refunded]
    newest = max((term.ends_at for term in counted), default=None)
    grants = _trial(subscription, terms, catalogue, policy)
    for term in counted:
        if term.suspended_as is not None:
            continue
        cut = _ended_at(subscription, term)
        periods = [AccessPeriod(term.starts_at, term.ends_at, AccessReason.PAID_TERM)]
        if term.ends_at == newest and subscription.access_ended_at is None:
            periods += _after_term(subscription, terms, term.ends_at, policy)
        if cut is not None:
            periods = [AccessPeriod(s.starts_at, min(s.until, cut), s.reason) for s in periods if s.starts_at < cut]
        if periods:
            plan = catalogue.plan(term.plan)
            names = plan.features_of(print_edition=term.print_edition)
            features = dict.fromkeys(names, tuple(periods))
            owed_until = (editions_until or {}).get(term.invoice_id)
            if owed_until is not None:
                owing = (*periods, AccessPeriod(term.ends_at, owed_until, AccessReason.ISSUES_OWED))
                features |= dict.fromkeys(EDITIONS & features.keys(), owing)
            grants.append(Grant(id=f"grt_{term.invoice_id}", source=AccessReason.PAID_TERM, features=features))
    return grants


def _ended_at(subscription: Subscription, term: Term) -> datetime | None:
    """Return when a term ended because its subscription ended; None if it runs until its own end."""
    if term.outlives(subscription):
        return None
    return min((at for at in (subscription.ended_at, subscription.access_ended_at) if at is not None), default=None)


def _trial(
    subscription: Subscription,
    terms: Sequence[Term],
    catalogue: Catalogue,
    policy: AccessPolicy,
) -> list[Grant]:
    """Return a trial's grant: digital access until it ends, and then the allowance for the first payment."""
    if subscription.trial_end is None:
        return []
    periods = [AccessPeriod(subscription.created_at, subscription.trial_end, AccessReason.TRIAL)]
    leaves = subscription.cancel_at is not None and subscription.cancel_at <= subscription.trial_end
    if not leaves and not any(term.ends_at > subscription.trial_end for term in terms):
        periods += [
            s
            for s in _after_term(subscription, terms, subscription.trial_end, policy)
            if s.reason == AccessReason.RENEWAL_PENDING
        ]
    for cut in (subscription.ended_at, subscription.access_ended_at):
        if cut is not None:
            periods = [AccessPeriod(s.starts_at, min(s.until, cut), s.reason) for s in periods if s.starts_at < cut]
    names = catalogue.plan(subscription.plan).features_of(print_edition=False)
    features = dict.fromkeys(names, tuple(periods))
    return (
        [Grant(id=f"grt_{subscription.stripe_id}_trial", source=AccessReason.TRIAL, features=features)]
        if periods
        else []
    )


def _after_term(
    subscription: Subscription, terms: Sequence[Term], ends_at: datetime, policy: AccessPolicy
) -> list[AccessPeriod]:
    """Return the access period after a term, according to the status table."""
    match classify(subscription, terms).access:
        case AccessRule.GRACE:
            return [AccessPeriod(ends_at, ends_at + policy.grace_period, AccessReason.GRACE_PERIOD)]
        case AccessRule.ALLOWANCE:
            return [AccessPeriod(ends_at, ends_at + policy.renewal_allowance, AccessReason.RENEWAL_PENDING)]
        case _:
            return []


def denial_reason_of(subscription: Subscription, terms: Sequence[Term]) -> str:
    """Return the reason to show when a subscription grants nothing."""
    newest = max(terms, key=lambda term: term.ends_at, default=None)
    if newest is not None and newest.is_refunded:
        if newest.refunded_as == EndReason.DISPUTE_LOST:
            return EndReason.DISPUTE_LOST
        return AccessReason.REFUND_FAILED if newest.refund_failed else AccessReason.REFUNDED
    if newest is not None and newest.suspended_as is not None:
        return newest.suspended_as
    if newest is None:
        return AccessReason.PAYMENT_INCOMPLETE
    if subscription.end_reason == "payment_failed" or subscription.status in {"past_due", "unpaid"}:
        return AccessReason.PAYMENT_FAILED
    return AccessReason.ENDED
