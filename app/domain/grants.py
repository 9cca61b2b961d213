"""
What a subscription grants: the spells that follow from its paid terms, and the reason when there are none.

How grants are united and asked is the matter of :mod:`app.domain.entitlements`.
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
    Return what a subscription's paid terms grant.

    The newest term of a subscription that neither ends nor failed outlives its period by the renewal allowance, and one
    whose renewal failed by the grace period: a payer is not locked out by Stripe's timing (rules.md, rule 3). What
    was ended early, by a refund or at once, is cut there; a refunded term is never granted, whatever Stripe says. One
    whose payment is disputed may be suspended; the allowance and the grace period go with the newest term all the same.

    :param editions_until: by invoice, until when a term's editions stay open beyond its period because issues are owed
        (rules.md, rule 8); of terms that were ended early there are none.
    """
    counted = [term for term in terms if not term.is_refunded]
    newest = max((term.ends_at for term in counted), default=None)
    grants = _trial(subscription, terms, catalogue, policy)
    for term in counted:
        if term.suspended_as is not None:
            continue
        cut = _ended_at(subscription, term)
        spells = [AccessPeriod(term.starts_at, term.ends_at, AccessReason.PAID_TERM)]
        if term.ends_at == newest and subscription.access_ended_at is None:
            spells += _after_term(subscription, terms, term.ends_at, policy)
        if cut is not None:
            spells = [AccessPeriod(s.starts_at, min(s.until, cut), s.reason) for s in spells if s.starts_at < cut]
        if spells:
            plan = catalogue.plan(term.plan)
            names = plan.features_of(print_edition=term.print_edition)
            features = dict.fromkeys(names, tuple(spells))
            owed_until = (editions_until or {}).get(term.invoice_id)
            if owed_until is not None:
                owing = (*spells, AccessPeriod(term.ends_at, owed_until, AccessReason.ISSUES_OWED))
                features |= dict.fromkeys(EDITIONS & features.keys(), owing)
            grants.append(Grant(id=f"grt_{term.invoice_id}", source=AccessReason.PAID_TERM, features=features))
    return grants


def _ended_at(subscription: Subscription, term: Term) -> datetime | None:
    """Return when the end of the subscription ends a term of it."""
    if term.is_spared_by(subscription):
        return None
    return min((at for at in (subscription.ended_at, subscription.access_ended_at) if at is not None), default=None)


def _trial(
    subscription: Subscription,
    terms: Sequence[Term],
    catalogue: Catalogue,
    policy: AccessPolicy,
) -> list[Grant]:
    """Return what a trial grants: what is digital, to its end; the first payment after it is waited for like a renewal's."""
    if subscription.trial_end is None:
        return []
    spells = [AccessPeriod(subscription.created_at, subscription.trial_end, AccessReason.TRIAL)]
    leaves = subscription.cancel_at is not None and subscription.cancel_at <= subscription.trial_end
    if not leaves and not any(term.ends_at > subscription.trial_end for term in terms):
        spells += [
            s
            for s in _after_term(subscription, terms, subscription.trial_end, policy)
            if s.reason == AccessReason.RENEWAL_PENDING
        ]
    for cut in (subscription.ended_at, subscription.access_ended_at):
        if cut is not None:
            spells = [AccessPeriod(s.starts_at, min(s.until, cut), s.reason) for s in spells if s.starts_at < cut]
    names = catalogue.plan(subscription.plan).features_of(print_edition=False)
    features = dict.fromkeys(names, tuple(spells))
    return (
        [Grant(id=f"grt_{subscription.stripe_id}_trial", source=AccessReason.TRIAL, features=features)]
        if spells
        else []
    )


def _after_term(
    subscription: Subscription, terms: Sequence[Term], ends_at: datetime, policy: AccessPolicy
) -> list[AccessPeriod]:
    """Return what is granted after what is paid, as the table of lives says."""
    match classify(subscription, terms).access:
        case AccessRule.GRACE:
            return [AccessPeriod(ends_at, ends_at + policy.grace_period, AccessReason.GRACE_PERIOD)]
        case AccessRule.ALLOWANCE:
            return [AccessPeriod(ends_at, ends_at + policy.renewal_allowance, AccessReason.RENEWAL_PENDING)]
        case _:
            return []


def denial_reason_of(subscription: Subscription, terms: Sequence[Term]) -> str:
    """Return why a subscription grants nothing, for the time when it does not."""
    newest = max(terms, key=lambda term: term.ends_at, default=None)
    if newest is not None and newest.is_refunded:
        return EndReason.DISPUTE_LOST if newest.refunded_as == EndReason.DISPUTE_LOST else AccessReason.REFUNDED
    if newest is not None and newest.suspended_as is not None:
        return newest.suspended_as
    if newest is None:
        return AccessReason.PAYMENT_INCOMPLETE
    if subscription.end_reason == "payment_failed" or subscription.status in {"past_due", "unpaid"}:
        return AccessReason.PAYMENT_FAILED
    return AccessReason.ENDED
