"""
The one answer about a subscription: until when it gives access, and what its reader and staff are told (rules.md, rule 3).

The grants behind the gate, the reader's notice, the summary for staff, the anomalies and the decision whether a new checkout
is possible all come from here, so they can't contradict each other. Grants are derived ahead of time and end by themselves;
:func:`access_status` gives the rest at a time ``now``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.dunning import AccessPolicy
from app.domain.entitlements import OPEN_ENDED, AccessPeriod, AccessReason
from app.domain.renewals import LONGEST_PROCESSING, RenewalOutcome
from app.domain.status_cells import RENEWAL_HELD, AccessRule, Cell, Circumstance, ImpossibleState
from app.domain.status_table import Classification, classify
from app.domain.subscriptions import LIVE, OVER, Subscription, SubscriptionStatus, Term

PROCESSING_LONG = "payment_processing"  # the code of the anomaly
NO_ACCESS, NO_ACCESS_TEXT = "no_access", "Your subscription gives you no access at the moment. Please contact us."
KEEPS_ACCESS = "You keep access until the end of the period you paid for."  # although the subscription has ended
KEPT = frozenset({SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED})  # not live, but not over either
_FIRST_PAYMENT = frozenset({None, RenewalOutcome.PENDING, RenewalOutcome.SENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class TermAccess:
    """The access periods of a term, or of the trial (None)."""

    term: Term | None
    periods: tuple[AccessPeriod, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice for the reader. ``until`` is when their access ends, if nothing changes, or when it ended."""

    code: str
    text: str
    until: datetime | None
    action: str | None
    pay_url: str | None = None  # where the reader can pay, or confirm the payment with their bank


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessStatus:
    """What applies to a subscription at a time."""

    circumstance: Circumstance
    cell: Cell | ImpossibleState
    has_access: bool  # by a term that is not suspended, or by a trial
    until: datetime | None  # when access ends or ended; None: it never started, or it lasts until a payment's outcome
    notice: Notice | None
    anomalies: Mapping[str, str]  # the reason by code
    has_lapsed: bool  # whether what was paid is over, although the subscription has not ended
    may_subscribe: bool  # whether a new checkout is possible
    check_at: datetime | None  # when the subscription must be fetched again, if nothing has been heard of it

    @property
    def staff_summary(self) -> str:
        """The description for staff."""
        return self.cell.staff if isinstance(self.cell, Cell) else f"Impossible state: {self.cell.why}."


def access_status(
    subscription: Subscription, terms: Sequence[Term], policy: AccessPolicy, *, now: datetime
) -> AccessStatus:
    """Return what applies to a subscription at ``now``."""
    found = classify(subscription, terms)
    granted = _joined(periods_by_term(subscription, terms, policy))
    paid = _joined(periods_by_term(subscription, terms, policy, with_suspended=True))
    lasts, ends_at = any(period.covers(now) for period in paid), _end_of_access(paid, now)
    cell = found.cell
    if isinstance(cell, Cell) and cell.after is not None and ends_at is not None and not lasts:
        cell = cell.after
    if isinstance(cell, Cell) and cell.access is AccessRule.CUT and lasts:
        cell = replace(cell, reader=f"{cell.reader} {KEEPS_ACCESS}")
    # An allowance that has not begun is not promised.
    promised = [one for one in granted if one.reason != AccessReason.RENEWAL_PENDING or one.starts_at <= now]
    until = _end_of_access(promised, now)
    shown = None if until == OPEN_ENDED else until
    return AccessStatus(
        circumstance=found.circumstance,
        cell=cell,
        has_access=any(period.covers(now) for period in granted),
        until=shown,
        notice=_notice(subscription, cell, shown, lasts=lasts),
        anomalies=_anomalies(subscription, terms, found, cell, ends_at, policy, now=now),
        has_lapsed=not lasts and ends_at is not None and not is_over(subscription),
        may_subscribe=_may_subscribe(subscription, found.circumstance, policy, lasts=lasts, now=now),
        check_at=_check_at(subscription, found, ends_at, now=now),
    )


def must_end_first(subscription: Subscription) -> bool:
    """Return whether a subscription must be ended before its reader starts a new one, so that only one is charged."""
    return subscription.status in LIVE | KEPT and subscription.access_ended_at is None


def is_over(subscription: Subscription) -> bool:
    """Return whether a subscription has ended, by us or at Stripe."""
    return subscription.status in OVER or subscription.access_ended_at is not None


def periods_by_term(
    subscription: Subscription, terms: Sequence[Term], policy: AccessPolicy, *, with_suspended: bool = False
) -> list[TermAccess]:
    """
    Return the access periods of each term that is not refunded, and of the trial.

    What follows the newest term is in the status table. If the subscription ended early, access ends then.

    :param with_suspended: include the terms whose payment is disputed.
    """
    rule = classify(subscription, terms).cell.access
    counted = [term for term in terms if not term.is_refunded]
    newest = max((term.ends_at for term in counted), default=None)
    paused_at = subscription.pause.since if subscription.pause and rule is AccessRule.PAUSE else None
    trial = _trial_periods(subscription, terms, rule, policy)
    found = [TermAccess(term=None, periods=_until(trial, _over_at(subscription), paused_at))]
    for term in counted:
        if term.suspended_as is not None and not with_suspended:
            continue
        periods = [AccessPeriod(term.starts_at, term.ends_at, AccessReason.PAID_TERM)]
        if term.ends_at == newest and subscription.access_ended_at is None:
            # A trial that moved the billing date postpones the renewal.
            moved = subscription.trial_end if subscription.trial_end is not None else term.ends_at
            kept = term.offer.applied_to(policy) if term.offer is not None else policy
            periods += _after(rule, max(term.ends_at, moved), subscription, kept)
        over_at = None if term.outlives(subscription) else _over_at(subscription)
        found.append(TermAccess(term=term, periods=_until(periods, over_at, paused_at)))
    return [one for one in found if one.periods]


def _over_at(subscription: Subscription) -> datetime | None:
    return min((at for at in (subscription.ended_at, subscription.access_ended_at) if at is not None), default=None)


def _until(periods: Iterable[AccessPeriod], *cuts: datetime | None) -> tuple[AccessPeriod, ...]:
    """Return the periods, ended by each of the cuts."""
    cut = min((at for at in cuts if at is not None), default=OPEN_ENDED)
    return tuple(AccessPeriod(s.starts_at, min(s.until, cut), s.reason) for s in periods if s.starts_at < cut)


def _trial_periods(
    subscription: Subscription, terms: Sequence[Term], rule: AccessRule, policy: AccessPolicy
) -> list[AccessPeriod]:
    """Return the periods of a trial: until it ends, and then while the first payment is awaited."""
    trial_end = subscription.trial_end
    if trial_end is None:
        return []
    periods = [AccessPeriod(subscription.created_at, trial_end, AccessReason.TRIAL)]
    leaves = subscription.cancel_at is not None and subscription.cancel_at <= trial_end
    if not leaves and not any(term.ends_at > trial_end for term in terms):
        after = _after(rule, trial_end, subscription, policy)
        periods += [one for one in after if one.reason == AccessReason.RENEWAL_PENDING]
    return periods


def _after(rule: AccessRule, ends_at: datetime, subscription: Subscription, policy: AccessPolicy) -> list[AccessPeriod]:
    """Return the access period after a term or a trial."""
    renewal = subscription.renewal
    match rule:
        case AccessRule.GRACE:
            return [AccessPeriod(ends_at, ends_at + policy.grace_period, AccessReason.GRACE_PERIOD)]
        case AccessRule.ALLOWANCE:
            return [AccessPeriod(ends_at, ends_at + policy.renewal_allowance, AccessReason.RENEWAL_PENDING)]
        case AccessRule.OUTCOME:
            return [AccessPeriod(ends_at, OPEN_ENDED, AccessReason.RENEWAL_PENDING)]
        case AccessRule.DUE if renewal is not None and renewal.due_at is not None:
            until = max(ends_at, renewal.due_at) + policy.grace_period
            is_overdue = subscription.status != SubscriptionStatus.ACTIVE
            reason = AccessReason.GRACE_PERIOD if is_overdue else AccessReason.RENEWAL_PENDING
            return [AccessPeriod(ends_at, until, reason)]
        case _:
            return []


def _joined(found: Iterable[TermAccess]) -> list[AccessPeriod]:
    return [period for one in found for period in one.periods]


def _end_of_access(periods: Sequence[AccessPeriod], now: datetime) -> datetime | None:
    """Return when the access at ``now`` ends, or, without access, when it last ended; None if it never started."""
    running = [period.until for period in periods if period.covers(now)]
    if not running:
        return max((period.until for period in periods if period.until <= now), default=None)
    until = max(running)
    while later := [period.until for period in periods if period.starts_at <= until < period.until]:
        until = max(later)
    return until


def _notice(
    subscription: Subscription, cell: Cell | ImpossibleState, until: datetime | None, *, lasts: bool
) -> Notice | None:
    if isinstance(cell, ImpossibleState):
        return None if lasts else Notice(code=NO_ACCESS, text=NO_ACCESS_TEXT, until=until, action=None)
    if not cell.reader:
        return None
    pay_url = subscription.pay_url if cell.payable else None
    return Notice(code=cell.code, text=cell.reader, until=until, action=cell.action, pay_url=pay_url)


def _anomalies(
    subscription: Subscription,
    terms: Sequence[Term],
    found: Classification,
    cell: Cell | ImpossibleState,
    ends_at: datetime | None,
    policy: AccessPolicy,
    *,
    now: datetime,
) -> dict[str, str]:
    """Return what staff must check: an impossible state, a renewal that is held back, a payment without an outcome."""
    anomalies = dict([found.anomaly]) if found.anomaly else {}
    renewal = subscription.renewal
    is_first_held = found.circumstance is Circumstance.NEVER_PAID and subscription.status == SubscriptionStatus.ACTIVE
    is_first_held = is_first_held and renewal is not None and renewal.outcome == RenewalOutcome.HELD
    if isinstance(cell, Cell) and (is_first_held or (cell.held and ends_at is not None)):
        paid_until = max([term.ends_at for term in terms if not term.is_refunded], default=None)
        due_at = max(at for at in (paid_until, subscription.trial_end, subscription.created_at) if at is not None)
        which = "first payment" if paid_until is None else "renewal"
        what = renewal.description if renewal else "Stripe has no invoice for it"
        access = "It gives no access."
        if ends_at is not None:
            access = f"Access {'ends' if now < ends_at else 'ended'} on {policy.wording.date(ends_at)}."
        anomalies[RENEWAL_HELD] = f"The {which} was due on {policy.wording.date(due_at)}, and {what}. {access}"
    since = _processing_since(subscription, found)
    if since is not None and now >= since + LONGEST_PROCESSING:
        anomalies[PROCESSING_LONG] = (
            f"The payment has been processing since {policy.wording.date(since)}. "
            "Access continues until it succeeds or fails."
        )
    return anomalies


def _processing_since(subscription: Subscription, found: Classification) -> datetime | None:
    if (
        found.circumstance not in {Circumstance.FIRST_PROCESSING, Circumstance.PROCESSING}
        or subscription.renewal is None
    ):
        return None
    return subscription.renewal.payment_at or subscription.renewal.starts_at


def _may_subscribe(
    subscription: Subscription, circumstance: Circumstance, policy: AccessPolicy, *, lasts: bool, now: datetime
) -> bool:
    """
    Return whether the reader can start a new subscription.

    They can't while this one gives access or its payment is on its way, or while its first payment is awaited.
    """
    if is_over(subscription) or subscription.status == SubscriptionStatus.INCOMPLETE:
        return True
    renewal = subscription.renewal
    outcome = renewal.outcome if renewal is not None else None
    if lasts or outcome == RenewalOutcome.PROCESSING:
        return False
    is_first = circumstance is Circumstance.NEVER_PAID and subscription.status == SubscriptionStatus.ACTIVE
    if not is_first or outcome not in _FIRST_PAYMENT:
        return True
    if renewal is not None and renewal.due_at is not None:
        return now >= renewal.due_at + policy.grace_period
    starts_at = renewal.starts_at if renewal is not None else subscription.created_at
    return now >= starts_at + policy.renewal_allowance


def _check_at(
    subscription: Subscription, found: Classification, ends_at: datetime | None, *, now: datetime
) -> datetime | None:
    if is_over(subscription):
        return None
    since = _processing_since(subscription, found)
    moments = [since + LONGEST_PROCESSING] if since is not None else []
    if found.cell.access is AccessRule.ALLOWANCE and ends_at is not None:
        moments.append(ends_at)
    return min((at for at in moments if at > now), default=None)
