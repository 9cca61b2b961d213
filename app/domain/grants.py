"""
The grants of a subscription: the access periods of its paid terms, and the reason when there are none.

:mod:`app.domain.entitlements` combines the grants of a reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.access_status import periods_by_term
from app.domain.dunning import AccessPolicy
from app.domain.entitlements import AccessPeriod, AccessReason, Grant
from app.domain.offers import Offer
from app.domain.plans import EDITIONS, PRINT_FEATURE, Catalogue
from app.domain.print_returns import is_print_on_hold
from app.domain.reasons import EndReason, SuspensionReason
from app.domain.renewals import PAYMENT_FAILURES
from app.domain.subscriptions import UNPAID, Subscription, Term


def grants_of(
    subscription: Subscription,
    terms: Sequence[Term],
    catalogue: Catalogue,
    policy: AccessPolicy,
    *,
    editions_until: Mapping[str, datetime] | None = None,
    pauses: Sequence[tuple[datetime, datetime]] = (),
    trial_offer: Offer | None = None,
) -> list[Grant]:
    """
    Return the grants of a subscription's paid terms, and of its trial, which is digital only.

    The periods are those of :mod:`app.domain.access_status`. A refunded term grants nothing, whatever the status at Stripe.
    A term with a disputed payment may be suspended.

    :param editions_until: by invoice, until when a term's editions stay available after its period because issues are owed
        (rules.md, rule 8). Terms that ended early have none.
    :param pauses: when copies are on hold and digital access pauses too, for terms with the print edition.
    :param trial_offer: what the trial was promised. Without it, as for a term without an offer, the catalogue decides.
    """
    grants = []
    for access in periods_by_term(subscription, terms, policy):
        term, periods = access.term, access.periods
        paused = pauses if term is not None and term.print_edition else ()
        periods = _without(periods, paused)
        offer = term.offer if term is not None else trial_offer
        promised = offer or catalogue.plan(term.plan if term is not None else subscription.plan)
        features = dict.fromkeys(promised.features_of(print_edition=term is not None and term.print_edition), periods)
        if term is None:
            grants.append(Grant(id=f"grt_{subscription.stripe_id}_trial", source=AccessReason.TRIAL, features=features))
            continue
        owed_until = (editions_until or {}).get(term.invoice_id)
        if owed_until is not None:
            owed = AccessPeriod(term.ends_at, owed_until, AccessReason.ISSUES_OWED)
            owing = (*periods, *_without((owed,), paused))
            features |= dict.fromkeys(EDITIONS & features.keys(), owing)
        if PRINT_FEATURE in features:
            features[PRINT_FEATURE] = _while_printed(term, features[PRINT_FEATURE])
        grants.append(Grant(id=f"grt_{term.invoice_id}", source=AccessReason.PAID_TERM, features=features))
    return grants


def _without(
    periods: tuple[AccessPeriod, ...], pauses: Sequence[tuple[datetime, datetime]]
) -> tuple[AccessPeriod, ...]:
    """Return the periods without the pauses in them."""
    for begins_at, ends_at in pauses:
        parts = (
            part
            for one in periods
            for part in (
                replace(one, until=min(one.until, begins_at)),
                replace(one, starts_at=max(one.starts_at, ends_at)),
            )
        )
        periods = tuple(one for one in parts if one.starts_at < one.until)
    return periods


def _while_printed(term: Term, periods: Sequence[AccessPeriod]) -> tuple[AccessPeriod, ...]:
    """Return the periods of a term, limited to when print is paid for."""
    since, until = term.print_from or term.starts_at, term.print_until
    if is_print_on_hold(term):
        until = term.print_suspended_from
    limited = (
        AccessPeriod(max(one.starts_at, since), min(one.until, until) if until is not None else one.until, one.reason)
        for one in periods
    )
    return tuple(one for one in limited if one.starts_at < one.until)


def denial_reason_of(subscription: Subscription, terms: Sequence[Term]) -> str:
    """Return the reason to show when a subscription grants nothing."""
    newest = max(terms, key=lambda term: term.ends_at, default=None)
    if newest is not None and newest.is_refunded:
        if newest.refunded_as == EndReason.DISPUTE_LOST:
            return EndReason.DISPUTE_LOST
        return AccessReason.REFUND_FAILED if newest.refund_failed else AccessReason.REFUNDED
    if newest is not None and newest.suspended_as is not None:
        return newest.suspended_as
    if newest is not None and is_print_on_hold(newest):
        return SuspensionReason.DISPUTE_OPEN
    if newest is None:
        return AccessReason.PAYMENT_INCOMPLETE
    if subscription.end_reason == "payment_failed" or subscription.status in UNPAID:
        return AccessReason.PAYMENT_FAILED
    if subscription.pause is not None and subscription.pause.reason in PAYMENT_FAILURES:
        return AccessReason.PAYMENT_FAILED
    return AccessReason.ENDED
