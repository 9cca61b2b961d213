"""The reader of an imported customer."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.domain.customers import StripeCustomerState
from app.domain.imports import (
    DISPUTE_LOST_EARLIER,
    PAID_AFTER_END_EARLIER,
    REFUNDED_EARLIER,
    UnclaimedSubscriber,
    history_anomalies,
    is_history,
    only_match,
    returned_earlier,
    sub_of,
)
from app.domain.refunds import StripePaymentState, StripeRefundState
from app.domain.subscriptions import Payment, PaymentKind, Term
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import CHICAGO, PAYMENT


def customer(**metadata: str) -> StripeCustomerState:
    return StripeCustomerState(id="cus_1", email="ada@example.com", name="Ada", metadata=metadata)


@pytest.mark.parametrize(
    ("subs", "metadata", "sub"),
    [
        pytest.param({"cus_1": "ada"}, {"newsstand_sub": "other"}, "ada", id="file first"),
        pytest.param({"cus_2": "ada"}, {"newsstand_sub": " ada "}, "ada", id="then metadata"),
        pytest.param({}, {}, "unclaimed:cus_1", id="otherwise unclaimed"),
        pytest.param({}, {"newsstand_sub": "x" * 256}, "unclaimed:cus_1", id="too long"),
        pytest.param({}, {"newsstand_sub": "unclaimed:cus_2"}, "unclaimed:cus_1", id="placeholder of another customer"),
        pytest.param({}, {"newsstand_sub": "a\x00"}, "unclaimed:cus_1", id="characters that can't be stored"),
    ],
)
def test_a_customer_is_identified_by_file_then_metadata(
    subs: dict[str, str], metadata: dict[str, str], sub: str
) -> None:
    assert sub_of(customer(**metadata), subs=subs, metadata_key="newsstand_sub") == sub


def one(number: int, *, runs: bool) -> UnclaimedSubscriber:
    return UnclaimedSubscriber(id=f"rdr_{number}", runs=runs)


@pytest.mark.parametrize(
    ("found", "which"),
    [
        pytest.param([], None, id="no customer with that email"),
        pytest.param([one(1, runs=False)], "rdr_1", id="one customer"),
        pytest.param([one(1, runs=False), one(2, runs=True)], "rdr_2", id="one with a subscription"),
        pytest.param([one(1, runs=True), one(2, runs=True)], None, id="two with a subscription: ambiguous"),
        pytest.param([one(1, runs=False), one(2, runs=False)], None, id="two without a subscription: ambiguous"),
    ],
)
def test_an_email_identifies_a_customer_only_if_unambiguous(
    found: list[UnclaimedSubscriber], which: str | None
) -> None:
    chosen = only_match(found)
    assert (chosen.id if chosen else None) == which


SECOND = replace(TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=365))
PAST = replace(PAYMENT, invoice_id="in_2", paid_at=END, is_history=True)
DAY = timedelta(days=1)
REFUNDED = (REFUNDED_EARLIER, START + 9 * DAY)


@pytest.mark.parametrize(
    ("status", "ended_at", "terms", "returned", "words"),
    [
        pytest.param("active", None, [TERM, SECOND], {}, {}, id="nothing unusual"),
        pytest.param(
            "active",
            None,
            [TERM, SECOND],
            {TERM.invoice_id: REFUNDED},
            {REFUNDED_EARLIER: "Later terms were paid"},
            id="an older term was refunded",
        ),
        pytest.param(
            "active",
            None,
            [TERM],
            {TERM.invoice_id: REFUNDED},
            {REFUNDED_EARLIER: "It gives no access"},
            id="the newest term was refunded",
        ),
        pytest.param(
            "past_due",
            None,
            [TERM, SECOND],
            {TERM.invoice_id: (DISPUTE_LOST_EARLIER, START)},
            {DISPUTE_LOST_EARLIER: "lost in a dispute"},
            id="a dispute was lost",
        ),
        pytest.param("active", None, [TERM], {TERM.invoice_id: ("", START)}, {}, id="refunded since it is followed"),
        pytest.param("canceled", END + DAY, [TERM], {TERM.invoice_id: REFUNDED}, {}, id="refunded and ended: usual"),
        pytest.param(
            "canceled",
            END - DAY,
            [TERM],
            {},
            {PAID_AFTER_END_EARLIER: "after the subscription had ended"},
            id="paid after the end",
        ),
        pytest.param("canceled", END - DAY, [TERM], {"in_2": REFUNDED}, {}, id="paid after the end, and refunded"),
    ],
)
def test_staff_see_what_is_unusual_in_the_history_of_a_subscription(
    status: str,
    ended_at: datetime | None,
    terms: list[Term],
    returned: dict[str, tuple[str, datetime]],
    words: dict[str, str],
) -> None:
    found = history_anomalies(status, ended_at, terms, [PAST], returned, zone=CHICAGO)

    assert found.keys() == words.keys()
    assert all(expected in found[code] for code, expected in words.items())


@pytest.mark.parametrize(
    ("followed_since", "payment", "at", "listed", "history"),
    [
        pytest.param(END, PAST, END - DAY, False, True, id="before it was followed"),
        pytest.param(END, PAST, END, False, False, id="in the second it was first seen: it happened since"),
        pytest.param(END, PAST, END, True, True, id="in that second, and an import listed it"),
        pytest.param(END, replace(PAST, is_history=False), END - DAY, False, False, id="of a payment made since"),
        pytest.param(None, PAST, END - DAY, True, False, id="followed from its beginning"),
    ],
)
def test_what_happened_before_a_subscription_was_followed_is_history(
    followed_since: datetime | None, payment: Payment, at: datetime, *, listed: bool, history: bool
) -> None:
    subscription = replace(SUBSCRIPTION, followed_since=followed_since)

    assert is_history(subscription, payment, at, listed=listed) is history


def refunded(amount: int) -> StripePaymentState:
    """Return the state of a payment with a refund at Stripe."""
    refund = StripeRefundState(
        id="re_1",
        amount=amount,
        currency="usd",
        status="succeeded",
        ours=None,
        failure_reason=None,
        created_at=END + DAY,
    )
    return StripePaymentState(refundable=True, disputed=False, refunds=(refund,))


def test_an_invoice_paid_in_parts_was_refunded_once_every_part_was() -> None:
    parts = [replace(PAST, id="ch_1", amount=20_00), replace(PAST, id="ch_2", amount=29_00)]
    by_hand = replace(PAST, id="oob_1", kind=PaymentKind.OUT_OF_BAND, amount=5_00)

    assert returned_earlier(parts, {"ch_1": refunded(20_00)}) == {}
    both = {"ch_1": refunded(20_00), "ch_2": refunded(29_00)}
    assert returned_earlier(parts, both) == {"in_2": (REFUNDED_EARLIER, END + DAY)}
    assert returned_earlier([*parts, by_hand], both) == {}
