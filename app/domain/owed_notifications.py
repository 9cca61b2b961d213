"""
Which notifications a subscription owes its reader: derived from its state, like its grants, whenever that changes.

What is scheduled and no longer owed is removed, so a cancellation removes the notice of a renewal, and an extension moves
it. What was sent stays. It counts as told as long as the event has not moved by a week or more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from app.domain.access_status import AccessStatus
from app.domain.issue_delays import IssueDelay
from app.domain.notification_policies import DAYS_AHEAD, NotificationPolicy, ahead, policy_for
from app.domain.notifications import Channel, NotificationKind, NotificationStatus, money
from app.domain.places import Place
from app.domain.reasons import EndReason
from app.domain.renewals import RenewalOutcome
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription, SubscriptionStatus, Term

FRESH = timedelta(days=7)  # what happened earlier is not told anymore, for example after an import
ADDRESS_ARRIVES = timedelta(days=1)  # after the payment, before the reader is asked for it
YEAR = "year"
UNPAID_END = "payment_failed"  # Stripe's reason: no attempt to charge the renewal succeeded
TOLD_ENDS = frozenset({EndReason.CANCEL_NOW, EndReason.NOT_RENEWED})
ANNOUNCED = ("renews_at", "ends_at")  # variables that name what is to come
MOVED = timedelta(days=7)  # an event that moved by less is the one that was told


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A notification that is owed. ``event_at`` is when what it tells happens."""

    kind: NotificationKind
    about: str
    event_at: datetime
    send_at: datetime
    channel: Channel
    template: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A notification that is stored. ``scheduled`` is what is stored of one that was not sent yet."""

    kind: NotificationKind
    about: str
    status: NotificationStatus
    event_at: datetime | None
    scheduled: Owed | None = None


@dataclass(frozen=True, slots=True)
class ComingPrice:
    """A new price that a price migration tells the reader of itself."""

    renewal_at: datetime
    rise: int  # above the subscription's present price, in minor units; 0 once it has the new one


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a subscription."""

    subscription: Subscription
    terms: Sequence[Term]
    status: AccessStatus
    place: Place
    has_address: bool = False  # a postal address
    known: Sequence[Known] = ()
    delays: Sequence[IssueDelay] = ()  # of issues that it is owed in print
    coming: ComingPrice | None = None
    notice_ends_at: datetime | None = None  # when it ends at a month's notice

    def is_migrated_at(self, moment: datetime) -> bool:
        """Return whether a price migration changes the price at a renewal."""
        return self.coming is not None and self.coming.renewal_at == moment


def owed(facts: Facts, rules: Rules, policies: Sequence[NotificationPolicy], *, now: datetime) -> list[Owed]:
    """Return the notifications that a subscription owes by the policies, except those that were sent."""
    events = _events(facts, rules, now=now)
    found = [one for event in events if (one := _by_policy(event, facts, rules, policies, now=now))]
    return [one for one in found if not _was_told(one, facts.known)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """Something that a reader is told, if the policy says so."""

    kind: NotificationKind
    about: str
    at: datetime
    data: Mapping[str, Any]
    is_ahead: bool = False
    delay: timedelta = timedelta(0)


def _events(facts: Facts, rules: Rules, *, now: datetime) -> Iterator[_Event]:
    yield from _cancellation(facts, rules, now=now)
    yield from _failed_payment(facts, rules)
    yield from _delays(facts)
    charged_at = next_charge(facts.subscription, now=now)
    if charged_at is not None:
        yield from _charge_ahead(facts, rules, charged_at)
        yield from _expiring_card(facts, rules, charged_at, now=now)
        yield from _yearly(facts, rules, charged_at, now=now)
        yield from _missing_address(facts, rules)


def is_still_to_send(one: Known, subscription: Subscription, *, now: datetime) -> bool:
    """
    Return whether a scheduled notification is sent although it is not owed anymore.

    A yearly reminder that is due waits while a renewal is under way: it names the charge after it.
    """
    has_come = one.scheduled is not None and one.scheduled.send_at <= now
    return one.kind is NotificationKind.YEARLY_REMINDER and has_come and _renews(subscription)


def is_outdated(data: Mapping[str, Any], *, now: datetime) -> bool:
    """
    Return whether what a notification announces is over, so that it must not be sent as it is.

    The renewal has come and its events have not, or the worker was down meanwhile. They change or remove the notification.

    :param data: the variables of its template.
    """
    return any(name in data and datetime.fromisoformat(data[name]) <= now for name in ANNOUNCED)


def next_charge(subscription: Subscription, *, now: datetime) -> datetime | None:
    """Return when a subscription renews by itself; None if it doesn't, or its renewal is under way."""
    at = subscription.current_period_end
    is_under_way = subscription.status == SubscriptionStatus.PAST_DUE or at is None or at <= now
    return None if is_under_way or not _renews(subscription) else at


def _renews(subscription: Subscription) -> bool:
    """Return whether a subscription goes on after its present period."""
    until, at = subscription.cancel_at, subscription.current_period_end
    leaves = until is not None and at is not None and until <= at
    return subscription.is_live and not leaves and subscription.collection_paused is None


def _charge_ahead(facts: Facts, rules: Rules, charged_at: datetime) -> Iterator[_Event]:
    """Yield what is told before the next charge: a renewal, a new price, or the end of a trial or promotion."""
    its, plan = facts.subscription, rules.catalogue.plan(facts.subscription.plan)
    day = f"{charged_at.astimezone(rules.zone):%Y%m%d}"
    data = _next_price(facts, rules, charged_at) | {"interval": plan.interval}
    running = max((term for term in facts.terms if not term.is_refunded), key=lambda term: term.ends_at, default=None)

    def event(kind: NotificationKind, **more: Any) -> _Event:
        name = "ends_at" if kind in {NotificationKind.TRIAL_ENDING, NotificationKind.PROMOTION_ENDING} else "renews_at"
        said = data | {name: charged_at.isoformat()} | more
        return _Event(kind=kind, about=f"{its.id}/{day}", at=charged_at, data=said, is_ahead=True)

    if running is None:
        if its.trial_end is not None:
            yield event(NotificationKind.TRIAL_ENDING)
        return
    if plan.interval == YEAR:  # no law asks for a notice of each month's renewal
        yield event(NotificationKind.RENEWAL_AHEAD)
    if running.discount and not its.keeps_discount:
        yield event(NotificationKind.PROMOTION_ENDING)
    elif running.price is not None and _is_new_price(running, its) and not facts.is_migrated_at(charged_at):
        yield event(NotificationKind.PRICE_CHANGE, old_price=money(running.price, its.currency), total=None)


def _is_new_price(running: Term, its: Subscription) -> bool:
    """Return whether the next term of the same kind costs something else."""
    is_same = running.plan == its.plan and running.print_edition == its.print_edition
    is_whole = running.print_from is None and running.print_until is None
    return is_same and is_whole and running.price != its.price


def _next_price(facts: Facts, rules: Rules, charged_at: datetime) -> dict[str, Any]:
    its = facts.subscription
    rise = facts.coming.rise if facts.coming is not None and facts.is_migrated_at(charged_at) else 0
    return {
        "plan": rules.catalogue.plan(its.plan).title,
        "price": money(its.price + rise, its.currency),
        "discounted": its.keeps_discount,
    }


def _yearly(facts: Facts, rules: Rules, charged_at: datetime, *, now: datetime) -> Iterator[_Event]:
    """Yield the yearly reminder of a subscription with shorter terms; for others, the notice of the renewal is one."""
    its, plan = facts.subscription, rules.catalogue.plan(facts.subscription.plan)
    if plan.interval == YEAR or not facts.terms:
        return
    data = _next_price(facts, rules, charged_at) | {
        "interval": plan.interval,
        "since_at": its.created_at.isoformat(),
        "renews_at": charged_at.isoformat(),
    }
    at = _anniversary(its.created_at, now)
    anniversaries = {f"{its.id}/{at.astimezone(rules.zone):%Y%m%d}": at} | {
        one.about: one.event_at
        for one in facts.known
        if one.kind is NotificationKind.YEARLY_REMINDER
        and one.status is NotificationStatus.SCHEDULED
        and one.event_at is not None
        and one.event_at <= now  # it is due at the anniversary itself, and waited for the renewal of that day
    }
    for about, day in anniversaries.items():
        yield _Event(kind=NotificationKind.YEARLY_REMINDER, about=about, at=day, data=data, is_ahead=True)


def _anniversary(since: datetime, now: datetime) -> datetime:
    """Return the next anniversary; that of February 29 is March 1."""
    for year in range(max(now.year, since.year + 1), now.year + 3):
        is_leap_day = (since.month, since.day) == (2, 29)
        at = since.replace(year=year, month=3, day=1) if is_leap_day else since.replace(year=year)
        if at > now:
            return at
    raise AssertionError(since)


def _expiring_card(facts: Facts, rules: Rules, charged_at: datetime, *, now: datetime) -> Iterator[_Event]:
    """Yield that the card can't pay for the next term."""
    its, card = facts.subscription, facts.subscription.card
    if card is None or card.expires_on is None:
        return
    at = datetime.combine(card.expires_on + timedelta(days=1), time(), rules.zone)
    if not now < at <= charged_at:
        return
    yield _Event(
        kind=NotificationKind.CARD_EXPIRING,
        about=f"{its.id}/{card.last4}/{card.expires_on:%Y%m}",
        at=at,
        data={
            "plan": rules.catalogue.plan(its.plan).title,
            "card": _card(facts),
            "expires_on": card.expires_on.isoformat(),
            "renews_at": charged_at.isoformat(),
        },
        is_ahead=True,
    )


def _failed_payment(facts: Facts, rules: Rules) -> Iterator[_Event]:
    """Yield that a renewal was not paid: the card was declined, or the bank asks the reader to confirm."""
    its, renewal = facts.subscription, facts.subscription.renewal
    kinds = {
        RenewalOutcome.FAILED: NotificationKind.PAYMENT_FAILED,
        RenewalOutcome.ACTION_REQUIRED: NotificationKind.CONFIRMATION_NEEDED,
    }
    if renewal is None or renewal.outcome not in kinds or its.over_at is not None:
        return
    until = facts.status.until
    yield _Event(
        kind=kinds[renewal.outcome],
        about=renewal.invoice_id,
        at=renewal.payment_at or renewal.starts_at,
        data={
            "plan": rules.catalogue.plan(its.plan).title,
            "access_until": until.isoformat() if until is not None and facts.status.has_access else None,
            "pay_url": its.pay_url,
            "card": _card(facts),
        },
    )


def _delays(facts: Facts) -> Iterator[_Event]:
    """Yield the delays of the issues that are owed in print."""
    for delay in facts.delays:
        yield _Event(
            kind=NotificationKind.ISSUE_DELAYED,
            about=f"{facts.subscription.id}/{delay.number}/{delay.expected_on:%Y%m%d}",
            at=delay.known_at,
            data={
                "issue": delay.title,
                "planned_on": delay.planned_on.isoformat(),
                "expected_on": delay.expected_on.isoformat(),
            },
        )


def _missing_address(facts: Facts, rules: Rules) -> Iterator[_Event]:
    """Yield that copies are owed and can't be sent. A checkout's address may arrive after its payment."""
    its = facts.subscription
    printed = [term for term in facts.terms if term.print_edition and not term.is_refunded]
    if facts.has_address or not printed or not its.print_edition:
        return
    newest = max(printed, key=lambda term: term.ends_at)
    yield _Event(
        kind=NotificationKind.ADDRESS_NEEDED,
        about=f"{its.id}/{newest.invoice_id}",
        at=newest.print_from or newest.starts_at,
        data={"plan": rules.catalogue.plan(its.plan).title},
        delay=ADDRESS_ARRIVES,
    )


def _cancellation(facts: Facts, rules: Rules, *, now: datetime) -> Iterator[_Event]:
    """Yield that the subscription was canceled: scheduled, or at once. A refund that ended it tells that itself."""
    its = facts.subscription
    ended_here = its.access_ended_at if its.ended_by in TOLD_ENDS else None
    if its.ended_by is not None and ended_here is None:
        return
    is_canceled = its.cancel_at is not None or its.ended_at is not None
    at = ended_here or (its.canceled_at if is_canceled else None)
    if at is None or its.status == SubscriptionStatus.INCOMPLETE_EXPIRED:
        return
    until, notice = facts.status.until, facts.notice_ends_at if its.over_at is None else None
    yield _Event(
        kind=NotificationKind.CANCELED,
        about=f"{its.id}/{at.astimezone(UTC):%Y%m%dT%H%M%S}",
        at=at,
        data={
            "plan": rules.catalogue.plan(its.plan).title,
            "canceled_at": at.isoformat(),
            "access_until": until.isoformat() if until is not None and until > now else None,
            "notice_ends_at": notice.isoformat() if notice is not None else None,
            "resumable": its.over_at is None,
            "unpaid": its.end_reason == UNPAID_END,
            "started": bool(facts.terms) or its.trial_end is not None,
        },
    )


def _card(facts: Facts) -> str | None:
    card = facts.subscription.card
    return f"{card.brand.replace('_', ' ').title()} •••• {card.last4}" if card is not None else None


def _by_policy(
    event: _Event, facts: Facts, rules: Rules, policies: Sequence[NotificationPolicy], *, now: datetime
) -> Owed | None:
    """Return what the policy makes of an event; None if it is not told, or happened too long ago."""
    policy = policy_for(policies, event.kind, facts.place, event.at.astimezone(rules.zone).date())
    if policy is None or policy.channel is Channel.OFF:
        return None
    if not event.is_ahead and (event.at < now - FRESH or _is_history(event, facts.subscription)):
        return None
    return _owed(event, policy)


def _owed(event: _Event, policy: NotificationPolicy) -> Owed:
    return Owed(
        kind=event.kind,
        about=event.about,
        event_at=event.at,
        send_at=event.at - ahead(policy) if event.is_ahead else event.at + event.delay,
        channel=policy.channel,
        template=policy.template,
        data=event.data,
    )


def _is_history(event: _Event, subscription: Subscription) -> bool:
    """Return whether something happened before we followed the subscription."""
    return subscription.followed_since is not None and event.at < subscription.followed_since


def _was_told(one: Owed, known: Sequence[Known]) -> bool:
    """Return whether a notification was sent, or is being sent, about the same event."""
    return any(
        other.status is not NotificationStatus.SCHEDULED
        and other.kind is one.kind
        and (
            other.about == one.about
            or (
                one.kind in DAYS_AHEAD
                and _series(other.about) == _series(one.about)
                and other.event_at is not None
                and abs(other.event_at - one.event_at) < MOVED
            )
        )
        for other in known
    )


def _series(about: str) -> str:
    """Return what a notification is about, without the day: ``in_123`` of ``in_123/20270301``."""
    return about.partition("/")[0]
