"""Differences between our copy and Stripe's are described in words."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.domain.cards import Card
from app.domain.disputes import Dispute, StripeDisputeState
from app.domain.reconciliation import (
    LOOKBACK,
    PHASES,
    ListedInvoice,
    ListedRefund,
    SweepKind,
    batches,
    compare_dispute,
    compare_payments,
    compare_refund,
    compare_subscription,
    comparison_start,
    next_phase,
    unknown_at_stripe,
    until_next,
)
from app.domain.refunds import Refund, StripeRefundState
from app.domain.subscriptions import (
    Payment,
    StripeInvoicePayment,
    StripeInvoiceState,
    StripeItemState,
    StripeSubscriptionState,
    Subscription,
)
from app.services import catalogue

CATALOGUE = catalogue.load(Path(__file__).parents[2] / "catalogue.toml")
START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
ITEM = StripeItemState(
    id="si_1", plan="annual", component="digital", unit_amount=4900, period_start=START, period_end=END
)
SEEN = StripeSubscriptionState(
    id="sub_1",
    customer_id="cus_1",
    status="active",
    currency="usd",
    created_at=START,
    items=(ITEM,),
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
    invoices=(),
)
HELD = Subscription(
    id="scr_1",
    stripe_id="sub_1",
    subscriber_id="rdr_1",
    version=3,
    plan="annual",
    print_edition=False,
    status="active",
    price=4900,
    currency="usd",
    created_at=START,
    current_period_start=START,
    current_period_end=END,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
)
PRINT = replace(ITEM, id="si_2", component="print", unit_amount=2400)


def compared(
    subscription: Subscription | None, seen: StripeSubscriptionState, *, has_owner: bool = True
) -> tuple[str, str | None] | None:
    found = compare_subscription(subscription, seen, has_owner=has_owner, catalogue=CATALOGUE)
    return (found.words, found.key) if found else None


def test_equal_values_are_not_reported() -> None:
    assert compared(HELD, SEEN) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(replace(SEEN, status="canceled"), "active here, canceled at Stripe", id="status"),
        pytest.param(replace(SEEN, cancel_at=END), "renews here, ends 2027-03-01 at Stripe", id="scheduled end"),
        pytest.param(
            replace(SEEN, status="canceled", ended_at=END),
            "active, not ended here, canceled, ended 2027-03-01 at Stripe",
            id="end",
        ),
        pytest.param(
            replace(SEEN, items=(ITEM, PRINT)),
            "without print, 4900 usd here, with print, 7300 usd at Stripe",
            id="print edition and price",
        ),
        pytest.param(
            replace(SEEN, items=(replace(ITEM, period_start=END, period_end=END + timedelta(days=365)),)),
            "from 2026-03-01 to 2027-03-01 here, from 2027-03-01 to 2028-02-29 at Stripe",
            id="period",
        ),
        pytest.param(
            replace(SEEN, canceled_at=END),
            "the start date, cancellation date or end reason differs",
            id="rest",
        ),
    ],
)
def test_each_difference_of_a_subscription_is_described(seen: StripeSubscriptionState, words: str) -> None:
    assert compared(HELD, seen) == (f"subscription sub_1: {words}", "subscription:sub_1")


VISA = Card("visa", "4242", "US", date(2030, 12, 31))


@pytest.mark.parametrize(
    ("held", "card", "differs"),
    [
        pytest.param(HELD, VISA, True, id="not stored yet"),
        pytest.param(replace(HELD, card=replace(VISA, last4="0005")), VISA, True, id="another card"),
        pytest.param(replace(HELD, card=replace(VISA, expires_on=None)), VISA, True, id="without its expiry"),
        pytest.param(replace(HELD, card=VISA), VISA, False, id="the same"),
        pytest.param(replace(HELD, card=VISA), None, False, id="not listed"),
        pytest.param(replace(HELD, access_ended_at=START), VISA, False, id="ended here"),
    ],
)
def test_a_card_that_pays_is_compared(held: Subscription, card: Card | None, differs: bool) -> None:
    words = ("subscription sub_1: the card that pays differs", "subscription:sub_1")
    assert compared(held, replace(SEEN, card=card)) == (words if differs else None)


def test_an_unknown_subscription_of_a_reader_is_fetched_if_in_the_catalogue() -> None:
    assert compared(None, SEEN) == ("subscription sub_1: unknown here, active at Stripe", "subscription:sub_1")
    foreign = replace(SEEN, items=(replace(ITEM, plan=None, component=None),))
    assert compared(None, foreign) is None


@pytest.mark.parametrize(
    ("subscription", "seen", "has_owner", "part"),
    [
        pytest.param(None, SEEN, False, "which is not a known customer", id="without a subscriber"),
        pytest.param(
            None,
            replace(SEEN, items=(replace(ITEM, plan="gone"),)),
            True,
            "which is not in the catalogue",
            id="unknown plan",
        ),
        pytest.param(
            HELD,
            replace(SEEN, items=(replace(ITEM, plan=None),)),
            True,
            "not one of our plans at Stripe",
            id="foreign",
        ),
    ],
)
def test_a_difference_that_no_refetch_repairs_is_left_to_staff(
    subscription: Subscription | None, seen: StripeSubscriptionState, *, has_owner: bool, part: str
) -> None:
    found = compared(subscription, seen, has_owner=has_owner)
    assert found is not None
    assert part in found[0]
    assert found[1] is None


def test_a_subscription_missing_at_stripe_is_left_to_staff() -> None:
    assert unknown_at_stripe(HELD).words == "subscription sub_1: active here, unknown at Stripe"
    assert unknown_at_stripe(HELD).key is None


PAID = StripeInvoicePayment(id="pi_1", amount=4900, paid_at=START)
INVOICE = StripeInvoiceState(
    id="in_1",
    status="paid",
    billing_reason="subscription_create",
    total=4900,
    tax=0,
    currency="usd",
    lines=(),
    period_start=START,
    period_end=END,
    payments=(PAID,),
)
LISTED = ListedInvoice(subscription_id="sub_1", invoice=INVOICE)
PAYMENT = Payment(
    id="pi_1",
    invoice_id="in_1",
    amount=4900,
    tax=0,
    currency="usd",
    paid_at=START,
    billing_reason="subscription_create",
)


def test_missing_payments_are_fetched_and_wrong_ones_are_left_to_staff() -> None:
    assert compare_payments(LISTED, {"pi_1": PAYMENT}) == []
    (missing,) = compare_payments(LISTED, {})
    assert (missing.words, missing.key) == ("payment pi_1: unknown here, 4900 usd at Stripe", "subscription:sub_1")
    (wrong,) = compare_payments(LISTED, {"pi_1": replace(PAYMENT, amount=49)})
    assert (wrong.words, wrong.key) == ("payment pi_1: 49 usd here, 4900 usd at Stripe", None)


REFUND = Refund(
    group_id="rfd_1",
    id="rfd_1",
    payment_id="pi_1",
    subscriber_id="rdr_1",
    basis="goodwill",
    amount=500,
    tax=0,
    currency="usd",
    reason="x",
    note=None,
    requested_by="staff:agent",
    status="succeeded",
    stripe_refund_id="re_1",
    created_at=START,
)
SEEN_REFUND = StripeRefundState(
    id="re_1", amount=500, currency="usd", status="succeeded", ours="rfd_1", failure_reason=None, created_at=START
)


@pytest.mark.parametrize(
    ("stored", "words", "key"),
    [
        pytest.param(REFUND, None, None, id="the same"),
        pytest.param(replace(REFUND, status="processing", stripe_refund_id=None), None, None, id="processing"),
        pytest.param(
            None, "refund re_1: unknown here, 500 usd of pi_1 succeeded at Stripe", "payment:pi_1", id="missing"
        ),
        pytest.param(
            replace(REFUND, status="pending"),
            "refund re_1: pending here, succeeded at Stripe",
            "payment:pi_1",
            id="status",
        ),
        pytest.param(replace(REFUND, amount=5), "refund re_1: 5 usd here, 500 usd at Stripe", None, id="amount"),
    ],
)
def test_the_difference_of_a_refund_is_described(stored: Refund | None, words: str | None, key: str | None) -> None:
    found = compare_refund(stored, ListedRefund(refund=SEEN_REFUND, payment_id="pi_1"))
    assert (found.words, found.key) == (words, key) if found else words is None


def test_reconciliation_covers_recent_changes_and_occasionally_everything() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    start = partial(comparison_start, kind=SweepKind.RECONCILE, now=now)
    assert start(since=None, scheduled=True, full_before=True) == now - LOOKBACK
    assert start(since=None, scheduled=True, full_before=False) is None
    assert start(since=None, scheduled=False, full_before=True) is None
    assert start(since=START, scheduled=False, full_before=True) == START
    assert start(kind=SweepKind.RECOVER, since=START, scheduled=False, full_before=True) == START - LOOKBACK


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        pytest.param(datetime(2026, 6, 1, 7, tzinfo=UTC), 1, id="before the time"),
        pytest.param(datetime(2026, 6, 1, 8, tzinfo=UTC), 24, id="at the time: next day"),
        pytest.param(datetime(2026, 10, 31, 9, tzinfo=UTC), 24, id="end of daylight saving time"),
        pytest.param(datetime(2026, 3, 8, 3, tzinfo=UTC), 5, id="start of daylight saving time"),
    ],
)
def test_reconciliation_runs_at_the_publishers_local_time(now: datetime, hours: int) -> None:
    assert until_next(time(3), now=now, zone=ZoneInfo("America/Chicago")) == timedelta(hours=hours)


def test_phases_run_in_order_with_twenty_event_types_per_call() -> None:
    for kind, phases in PHASES.items():
        assert [next_phase(kind, phase) for phase in phases[:-1]] == list(phases[1:])
    assert [len(part) for part in batches([str(n) for n in range(41)], of=20)] == [20, 20, 1]


SEEN_DISPUTE = StripeDisputeState(
    id="dp_1",
    charge_id="ch_1",
    payment_id="pi_1",
    status="lost",
    amount=4900,
    currency="usd",
    reason="fraudulent",
    due_by=None,
    refundable=False,
    opened_at=START,
)


@pytest.mark.parametrize(
    ("status", "subscriber", "words"),
    [
        pytest.param(None, None, "dispute dp_1: unknown here, lost at Stripe", id="unknown"),
        pytest.param("lost", None, "dispute dp_1: unknown here, lost at Stripe", id="of a payment unknown until now"),
        pytest.param("needs_response", "rdr_1", "dispute dp_1: needs_response here, lost at Stripe", id="status"),
        pytest.param("lost", "rdr_1", None, id="equal"),
    ],
)
def test_a_dispute_that_differs_is_fetched_with_its_payment(
    status: str | None, subscriber: str | None, words: str | None
) -> None:
    ours = None
    if status is not None:
        facts = {name: getattr(SEEN_DISPUTE, name) for name in StripeDisputeState.__dataclass_fields__}
        ours = Dispute(
            **{**facts, "status": status}, subscriber_id=subscriber, concern=None, lost_at=None, closed_at=None
        )

    found = compare_dispute(ours, SEEN_DISPUTE)

    assert (found.words, found.key) == (words, "payment:pi_1") if words and found else found is None
