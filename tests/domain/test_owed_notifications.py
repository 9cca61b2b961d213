"""Which notifications a subscription owes: by a table, and for any state."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.access_status import access_status
from app.domain.cards import Card
from app.domain.invoices import InvoiceStatus
from app.domain.notification_policies import DEFAULT_POLICIES, NotificationPolicy
from app.domain.notifications import Channel, NotificationKind, NotificationStatus
from app.domain.owed_notifications import UNPAID_END, Facts, Known, Owed, is_outdated, is_still_to_send, owed
from app.domain.places import Place
from app.domain.renewals import PaymentStatus, Renewal
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription, SubscriptionStatus, Term
from tests.domain.test_entitlements import CATALOGUE, END, POLICY, START, SUBSCRIPTION, TERM

DAY = timedelta(days=1)
RULES = Rules(catalogue=CATALOGUE, access=POLICY, zone=POLICY.zone)
LIVE = replace(SUBSCRIPTION, status="active", print_edition=False, current_period_end=END, cancel_at=None)
PAID = replace(TERM, price=LIVE.price, print_edition=False)
MID = START + 100 * DAY
CARD = Card("visa", "4242", expires_on=date(2034, 12, 31))


def facts(
    subscription: Subscription = LIVE, *terms: Term, known: tuple[Known, ...] = (), now: datetime = MID, **more: Any
) -> Facts:
    its = terms or (PAID,)
    status = access_status(subscription, its, POLICY, now=now)
    return Facts(subscription=subscription, terms=its, status=status, place=Place(country="US"), known=known, **more)


def owed_at(
    now: datetime, subscription: Subscription = LIVE, *terms: Term, **more: Any
) -> dict[NotificationKind, Owed]:
    found = owed(facts(subscription, *terms, now=now, **more), RULES, DEFAULT_POLICIES, now=now)
    assert len({(one.kind, one.about) for one in found}) == len(found)
    return {one.kind: one for one in found}


def renewal(payment: PaymentStatus) -> Renewal:
    return Renewal(
        invoice_id="in_2",
        status=InvoiceStatus.OPEN,
        starts_at=END,
        attempted=True,
        payment=payment,
        payment_at=END + timedelta(hours=1),
    )


UNPAID = replace(
    LIVE,
    status="past_due",
    current_period_end=END + 365 * DAY,
    renewal=renewal(PaymentStatus.REQUIRES_PAYMENT_METHOD),
    card=CARD,
)
CASES: Mapping[str, tuple[datetime, Subscription, tuple[Term, ...], dict[NotificationKind, datetime]]] = {
    "a running subscription: notice of the renewal, 30 days ahead": (
        MID, LIVE, (), {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY},
    ),
    "later than 30 days ahead: the notice is due since then": (
        END - DAY, LIVE, (), {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY},
    ),
    "the renewal is under way: no notice of it": (END + DAY, LIVE, (), {}),
    "scheduled to end: only the confirmation": (
        MID, replace(LIVE, cancel_at=END, canceled_at=MID), (), {NotificationKind.CANCELED: MID},
    ),
    "canceled a month ago: not told anymore": (MID + 30 * DAY, replace(LIVE, cancel_at=END, canceled_at=MID), (), {}),
    "ends after the next renewal: both": (
        MID, replace(LIVE, cancel_at=END + 300 * DAY, canceled_at=MID), (),
        {NotificationKind.CANCELED: MID, NotificationKind.RENEWAL_AHEAD: END - 30 * DAY},
    ),
    "the renewal moved": (
        MID, replace(LIVE, current_period_end=END + 60 * DAY), (), {NotificationKind.RENEWAL_AHEAD: END + 30 * DAY},
    ),
    "a new price": (
        MID, replace(LIVE, price=59_00), (),
        {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY, NotificationKind.PRICE_CHANGE: END - 30 * DAY},
    ),
    "print was added within the term: no new price": (
        MID, replace(LIVE, price=73_00, print_edition=True), (replace(PAID, print_edition=True, print_from=MID),),
        {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY, NotificationKind.ADDRESS_NEEDED: MID + DAY},
    ),
    "a price that is not known": (
        MID, LIVE, (replace(PAID, price=None),), {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY},
    ),
    "a discount that ends": (
        MID, LIVE, (replace(PAID, discount=20_00),),
        {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY, NotificationKind.PROMOTION_ENDING: END - 7 * DAY},
    ),
    "a discount that stays": (
        MID, replace(LIVE, keeps_discount=True), (replace(PAID, discount=20_00),),
        {NotificationKind.RENEWAL_AHEAD: END - 30 * DAY},
    ),
    "collection is paused": (MID, replace(LIVE, collection_paused="void"), (), {}),
    "the payment failed": (
        END + DAY, UNPAID, (), {NotificationKind.PAYMENT_FAILED: END + timedelta(hours=1)},
    ),
    "the bank asks for a confirmation": (
        END + DAY, replace(UNPAID, renewal=renewal(PaymentStatus.REQUIRES_ACTION)), (),
        {NotificationKind.CONFIRMATION_NEEDED: END + timedelta(hours=1)},
    ),
    "the payment is processing": (
        END + DAY, replace(UNPAID, status="active", renewal=renewal(PaymentStatus.PROCESSING)), (),
        {NotificationKind.RENEWAL_AHEAD: END + 335 * DAY},
    ),
    "ended by a refund: the refund is told": (
        MID, replace(LIVE, status="canceled", ended_at=MID, canceled_at=MID, ended_by="guarantee", access_ended_at=MID),
        (replace(PAID, refunded_as="guarantee"),), {},
    ),
    "canceled at once": (
        MID, replace(LIVE, ended_by="cancel_now", access_ended_at=MID, canceled_at=MID + DAY), (),
        {NotificationKind.CANCELED: MID},
    ),
    "the term was refunded": (MID, LIVE, (replace(PAID, refunded_as="guarantee"),), {}),
    "the card expires before the renewal": (
        MID, replace(LIVE, card=replace(CARD, expires_on=date(2027, 1, 31))), (),
        {
            NotificationKind.RENEWAL_AHEAD: END - 30 * DAY,
            NotificationKind.CARD_EXPIRING: datetime(2027, 1, 2, tzinfo=UTC),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("now", "subscription", "terms", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_owed_and_when(
    now: datetime, subscription: Subscription, terms: tuple[Term, ...], expected: dict[NotificationKind, datetime]
) -> None:
    assert {kind: one.send_at for kind, one in owed_at(now, subscription, *terms).items()} == expected


def test_the_end_of_a_trial_is_announced_a_week_before() -> None:
    trial = replace(LIVE, status="trialing", trial_end=START + 30 * DAY, current_period_end=START + 30 * DAY)
    status = access_status(trial, [], POLICY, now=START + DAY)
    found = owed(
        Facts(subscription=trial, terms=(), status=status, place=Place()), RULES, DEFAULT_POLICIES, now=START + DAY
    )

    assert [(one.kind, one.send_at) for one in found] == [(NotificationKind.TRIAL_ENDING, START + 23 * DAY)]


def told(one: Owed, status: NotificationStatus = NotificationStatus.SENT) -> Known:
    return Known(kind=one.kind, about=one.about, status=status, event_at=one.event_at)


@pytest.mark.parametrize(
    ("moved", "is_told_again"),
    [
        pytest.param(0 * DAY, False, id="the same renewal"),
        pytest.param(3 * DAY, False, id="a few days later"),
        pytest.param(60 * DAY, True, id="two months later: the notice would come too early"),
    ],
)
def test_a_renewal_is_announced_again_only_if_it_moved_far(moved: timedelta, is_told_again: bool) -> None:
    first = owed_at(MID)[NotificationKind.RENEWAL_AHEAD]
    again = owed_at(MID, replace(LIVE, current_period_end=END + moved), known=(told(first),))

    assert (NotificationKind.RENEWAL_AHEAD in again) == is_told_again


REMINDER = Owed(
    kind=NotificationKind.YEARLY_REMINDER, about="scr_1/20270301", event_at=END, send_at=END, channel=Channel.EMAIL
)


@pytest.mark.parametrize(
    ("subscription", "reminder", "now", "is_sent"),
    [
        pytest.param(LIVE, REMINDER, END, True, id="at the anniversary"),
        pytest.param(LIVE, REMINDER, END + 3 * DAY, True, id="while the mail server is away"),
        pytest.param(UNPAID, REMINDER, END, True, id="the renewal on that day is not paid yet"),
        pytest.param(LIVE, REMINDER, END - DAY, False, id="before, only if it is owed"),
        pytest.param(replace(LIVE, cancel_at=END), REMINDER, END, False, id="canceled"),
        pytest.param(replace(LIVE, status="canceled"), REMINDER, END, False, id="over"),
        pytest.param(replace(LIVE, collection_paused="void"), REMINDER, END, False, id="paused"),
        pytest.param(
            LIVE, replace(REMINDER, kind=NotificationKind.RENEWAL_AHEAD), END, False, id="what was to be told before"
        ),
    ],
)
def test_a_yearly_reminder_whose_moment_has_come_is_sent_if_it_is_true(
    subscription: Subscription, reminder: Owed, now: datetime, is_sent: bool
) -> None:
    known = replace(told(reminder, NotificationStatus.SCHEDULED), scheduled=reminder)

    assert is_still_to_send(known, subscription, now=now) == is_sent


@pytest.mark.parametrize(
    ("status", "renews_at"),
    [
        pytest.param(
            NotificationStatus.SCHEDULED, END + 31 * DAY, id="it waited: it names the charge after the renewal"
        ),
        pytest.param(NotificationStatus.SENT, None, id="it was sent"),
    ],
)
def test_a_yearly_reminder_that_waited_for_a_renewal(status: NotificationStatus, renews_at: datetime | None) -> None:
    renewed = replace(LIVE, plan="monthly", created_at=START, current_period_end=END + 31 * DAY)
    plan = replace(CATALOGUE.plan(LIVE.plan), interval="month")
    rules = replace(RULES, catalogue=replace(CATALOGUE, plans={**CATALOGUE.plans, "monthly": plan}))
    known = replace(told(REMINDER, status), scheduled=REMINDER if status is NotificationStatus.SCHEDULED else None)

    found = owed(facts(renewed, known=(known,), now=END), rules, DEFAULT_POLICIES, now=END)

    reminders = {one.about: one.data["renews_at"] for one in found if one.kind is NotificationKind.YEARLY_REMINDER}
    assert reminders.get(REMINDER.about) == (renews_at.isoformat() if renews_at is not None else None)
    assert len(reminders) == (2 if renews_at is not None else 1), "the next one is owed, too"


@pytest.mark.parametrize(
    ("data", "is_over"),
    [
        ({"renews_at": END.isoformat()}, True),
        ({"ends_at": END.isoformat()}, True),
        ({"renews_at": (END + DAY).isoformat()}, False),
        ({"canceled_at": END.isoformat()}, False),
        ({}, False),
    ],
)
def test_what_was_announced_is_over(data: dict[str, str], *, is_over: bool) -> None:
    assert is_outdated(data, now=END) == is_over


def test_a_months_notice_tells_when_the_subscription_ends() -> None:
    notice = MID + 31 * DAY
    told_of = owed_at(MID, replace(LIVE, cancel_at=END, canceled_at=MID), notice_ends_at=notice)

    assert told_of[NotificationKind.CANCELED].data["notice_ends_at"] == notice.isoformat()


@pytest.mark.parametrize(
    ("its", "trial_end", "started"),
    [((), None, False), ((), START, True), ((PAID,), None, True)],
    ids=["the first debit never succeeded", "after a trial", "after a paid term"],
)
def test_an_end_without_a_beginning_says_so(its: tuple[Term, ...], trial_end: datetime | None, started: bool) -> None:
    ended = replace(LIVE, status="canceled", canceled_at=MID, ended_at=MID, end_reason=UNPAID_END, trial_end=trial_end)
    status = access_status(ended, its, POLICY, now=MID)
    known = Facts(subscription=ended, terms=its, status=status, place=Place(country="US"))

    (canceled,) = owed(known, RULES, DEFAULT_POLICIES, now=MID)

    assert (canceled.kind, canceled.data["started"]) == (NotificationKind.CANCELED, started)


def test_a_second_cancellation_is_confirmed_too() -> None:
    first = owed_at(MID, replace(LIVE, cancel_at=END, canceled_at=MID))[NotificationKind.CANCELED]
    again = owed_at(MID + DAY, replace(LIVE, cancel_at=END, canceled_at=MID + DAY), known=(told(first),))

    assert NotificationKind.CANCELED in again


def test_nothing_from_before_an_import_is_announced() -> None:
    imported = replace(LIVE, cancel_at=END, canceled_at=MID, followed_since=MID + DAY)

    assert owed_at(MID + 2 * DAY, imported) == {}


def test_a_kind_that_is_off_is_not_owed() -> None:
    off = NotificationPolicy(kind=NotificationKind.RENEWAL_AHEAD, days=30, channel=Channel.OFF)

    assert owed(facts(), RULES, [off], now=MID) == []


moments = st.integers(-30, 800).map(lambda days: START + days * DAY)
subscriptions = st.builds(
    replace,
    st.just(LIVE),
    status=st.sampled_from([*SubscriptionStatus]),
    price=st.sampled_from([49_00, 59_00]),
    print_edition=st.booleans(),
    current_period_end=st.none() | moments,
    cancel_at=st.none() | moments,
    canceled_at=st.none() | moments,
    ended_at=st.none() | moments,
    trial_end=st.none() | moments,
    access_ended_at=st.none() | moments,
    ended_by=st.sampled_from([None, "cancel_now", "guarantee", "not_renewed"]),
    keeps_discount=st.booleans(),
    collection_paused=st.sampled_from([None, "void"]),
    renewal=st.none() | st.sampled_from([*PaymentStatus]).map(renewal),
    card=st.none() | st.just(CARD) | st.just(replace(CARD, expires_on=date(2027, 1, 31))),
    followed_since=st.none() | moments,
)
terms = st.lists(
    st.builds(
        replace,
        st.just(PAID),
        print_edition=st.booleans(),
        price=st.sampled_from([None, 49_00]),
        discount=st.sampled_from([0, 10_00]),
        refunded_as=st.sampled_from([None, "guarantee"]),
    ),
    max_size=1,
)


@given(subscription=subscriptions, its=terms, now=moments, has_address=st.booleans())
def test_whatever_is_owed_is_true_and_owed_once(
    subscription: Subscription, its: list[Term], now: datetime, has_address: bool
) -> None:
    status = access_status(subscription, its, POLICY, now=now)
    known = Facts(subscription=subscription, terms=its, status=status, place=Place(), has_address=has_address)
    found = owed(known, RULES, DEFAULT_POLICIES, now=now)

    for one in found:
        renews = {NotificationKind.RENEWAL_AHEAD, NotificationKind.PRICE_CHANGE, NotificationKind.PROMOTION_ENDING}
        if one.kind in renews | {NotificationKind.TRIAL_ENDING}:
            assert subscription.is_live, "only a live subscription renews"
            assert one.event_at > now, "the charge is ahead"
            assert subscription.cancel_at is None or subscription.cancel_at > one.event_at, "and not canceled"
            assert one.send_at <= one.event_at - 3 * DAY
        if one.kind is NotificationKind.PRICE_CHANGE:
            assert one.data["price"] != one.data["old_price"], "never from X to X"
        assert one.send_at >= START - 400 * DAY
    assert owed(replace(known, known=[told(one) for one in found]), RULES, DEFAULT_POLICIES, now=now) == []
    waiting = [told(one, NotificationStatus.SCHEDULED) for one in found]
    assert owed(replace(known, known=waiting), RULES, DEFAULT_POLICIES, now=now) == found, (
        "what is not sent yet stays owed"
    )
