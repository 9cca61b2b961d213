"""Refunds: their effect on access, their tax, and approval."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.refunds import (
    COUNTED,
    UNDONE,
    Refund,
    RefundBasis,
    RefundStatus,
    StripeRefundState,
    any_failed_since,
    ending_basis,
    ends_subscription,
    guarantee_used,
    is_guaranteed,
    refundable_amount,
    tax_part,
)
from app.domain.subscriptions import Term
from app.services.catalogue import load
from tests.domain.test_entitlements import TERM
from tests.domain.test_quotes import PAYMENT, REFUND
from tests.support.shop import CATALOGUE


def back(
    amount: int, basis: str = RefundBasis.DASHBOARD, *, day: int = 1, status: str = RefundStatus.SUCCEEDED
) -> Refund:
    """Return a refund of a payment of 53.00."""
    at = REFUND.created_at + timedelta(days=day)
    return replace(
        REFUND, id=f"rfd_{basis}_{day}", basis=basis, amount=amount, status=status, created_at=at, made_at=at
    )


@pytest.mark.parametrize(
    ("refunds", "ends"),
    [
        pytest.param([back(53_00, RefundBasis.GUARANTEE)], RefundBasis.GUARANTEE, id="guarantee ends the term"),
        pytest.param(
            [back(1_00, RefundBasis.UNSERVED_ISSUES)], RefundBasis.UNSERVED_ISSUES, id="unserved issues end the term"
        ),
        pytest.param([back(53_00, RefundBasis.DUPLICATE)], RefundBasis.DUPLICATE, id="duplicate"),
        pytest.param([back(53_00, RefundBasis.PAID_AFTER_END)], RefundBasis.PAID_AFTER_END, id="paid after the end"),
        pytest.param([back(53_00, RefundBasis.FRAUD_WARNING)], RefundBasis.FRAUD_WARNING, id="fraud warning"),
        pytest.param([back(53_00, RefundBasis.GOODWILL)], None, id="full goodwill keeps the term"),
        pytest.param([back(9_00, RefundBasis.PRINT_DROPPED)], None, id="dropped print keeps the term"),
        pytest.param([back(53_00)], RefundBasis.DASHBOARD, id="full manual refund ends the term"),
        pytest.param([back(52_99)], None, id="partial manual refund is goodwill"),
        pytest.param(
            [back(30_00), back(23_00, day=2)], RefundBasis.DASHBOARD, id="two manual refunds of the full amount"
        ),
        pytest.param(
            [back(5_00, RefundBasis.GOODWILL), back(48_00, day=2)],
            RefundBasis.DASHBOARD,
            id="manual refund of the rest after goodwill",
        ),
        pytest.param(
            [back(5_00, RefundBasis.GOODWILL), back(48_00)],
            RefundBasis.DASHBOARD,
            id="manual refund of the rest in the same second",
        ),
        pytest.param(
            [back(48_00), back(5_00, RefundBasis.GOODWILL, day=2)],
            None,
            id="goodwill after a manual partial refund keeps the term",
        ),
        pytest.param(
            [back(30_00), back(23_00, day=2, status=RefundStatus.FAILED)], None, id="failed refund has no effect"
        ),
    ],
)
def test_the_effect_of_a_refund_on_access_does_not_depend_on_the_order(refunds: list[Refund], ends: str | None) -> None:
    for order in itertools.permutations(refunds):
        known = [order[: n + 1] for n in range(len(order))]
        found = {
            ending_basis(order[n], 53_00, known[n]) for n in range(len(order)) if order[n].status != RefundStatus.FAILED
        }

        assert found - {None} == ({ends} if ends else set())


def test_a_manual_refund_of_a_later_payment_of_a_term_ends_nothing() -> None:
    assert ending_basis(back(4_00), 0, [back(4_00)]) is None


def test_every_refund_status_counts_either_as_refunded_or_as_failed() -> None:
    assert set(RefundStatus) == COUNTED | UNDONE
    assert not COUNTED & UNDONE


@pytest.mark.parametrize("status", RefundStatus)
def test_pending_and_reserved_amounts_are_not_refundable(status: str) -> None:
    left = refundable_amount(PAYMENT, [replace(REFUND, amount=10_00, status=status)])

    assert left == (43_00 if status in COUNTED else 53_00)


@given(tax=st.integers(0, 10_000), parts=st.lists(st.integers(1, 5_000), min_size=1, max_size=8))
def test_the_taxes_of_partial_refunds_add_up(tax: int, parts: list[int]) -> None:
    payment = replace(PAYMENT, amount=sum(parts), tax=min(tax, sum(parts)))
    refunds: list[Refund] = []
    for number, amount in enumerate(parts):
        within = tax_part(payment, amount, refunds)
        assert 0 <= within <= amount
        refunds.append(replace(REFUND, id=f"rfd_{number}", amount=amount, tax=within))

    assert sum(refund.tax for refund in refunds) == payment.tax


FAILED = replace(back(53_00, RefundBasis.GUARANTEE), status=RefundStatus.FAILED, recorded_at=REFUND.created_at)
AGAIN = replace(back(53_00, RefundBasis.GUARANTEE, day=9), recorded_at=REFUND.created_at + timedelta(days=9))


@pytest.mark.parametrize(
    ("refunds", "failed"),
    [
        pytest.param([], False, id="no refund"),
        pytest.param([back(53_00)], False, id="succeeded"),
        pytest.param([FAILED], True, id="failed after it was confirmed"),
        pytest.param([replace(FAILED, status=RefundStatus.CANCELED)], True, id="canceled after it was confirmed"),
        pytest.param([replace(FAILED, recorded_at=None)], False, id="declined at once: nothing was shown as refunded"),
        pytest.param([FAILED, AGAIN], False, id="repeated with success"),
        pytest.param([FAILED, replace(AGAIN, status=RefundStatus.PROCESSING)], True, id="being repeated"),
        pytest.param([FAILED, replace(AGAIN, status=RefundStatus.FAILED)], True, id="failed twice"),
        pytest.param([back(53_00), replace(FAILED, payment_id="pi_2")], True, id="of another payment of the term"),
    ],
)
def test_a_refund_counts_as_failed_until_another_is_confirmed(refunds: list[Refund], failed: bool) -> None:
    for order in itertools.permutations(refunds):
        assert any_failed_since(order) is failed


@pytest.mark.parametrize(
    ("refunds", "used"),
    [
        pytest.param([], False, id="never"),
        pytest.param([back(53_00, RefundBasis.GUARANTEE)], True, id="paid"),
        pytest.param([back(53_00, RefundBasis.GUARANTEE, status=RefundStatus.PROCESSING)], True, id="on its way"),
        pytest.param([FAILED], False, id="failed"),
        pytest.param([back(53_00, RefundBasis.DUPLICATE)], False, id="a duplicate does not use it"),
    ],
)
def test_a_used_guarantee_is_not_sold_again(refunds: list[Refund], used: bool) -> None:
    plan = load(CATALOGUE).plan("annual")
    today = REFUND.created_at.date()
    assert guarantee_used(refunds) is used
    assert guarantee_used(refunds, besides={"pi_1"}) is False
    assert is_guaranteed(plan, refunds, on=today) is not used
    lines = plan.offer_lines(guaranteed=is_guaranteed(plan, refunds, on=today))
    assert (plan.guarantee.title in lines) is not used
    each_time = replace(plan, guarantee=replace(plan.guarantee, terms=replace(plan.guarantee.terms, once=False)))
    assert is_guaranteed(each_time, refunds, on=today)


FIRST = replace(TERM, paid_at=TERM.starts_at)
SECOND = replace(
    TERM, invoice_id="in_2", starts_at=TERM.ends_at, ends_at=TERM.ends_at + timedelta(days=365), paid_at=TERM.ends_at
)
A_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("refunded", "terms", "made", "known", "ends"),
    [
        pytest.param(FIRST, [FIRST], 10 * A_DAY, A_DAY, True, id="the only term"),
        pytest.param(FIRST, [FIRST, SECOND], 400 * A_DAY, A_DAY, False, id="an older term"),
        pytest.param(SECOND, [FIRST, SECOND], 400 * A_DAY, A_DAY, True, id="the newest term"),
        pytest.param(FIRST, [FIRST, SECOND], 364 * A_DAY, 3 * A_DAY, True, id="renewed before the refund was known"),
        pytest.param(FIRST, [FIRST, SECOND], 364 * A_DAY, 30 * A_DAY, False, id="renewed, and known a month later"),
        pytest.param(FIRST, [FIRST], 10 * A_DAY, 30 * A_DAY, True, id="known a month later, and not renewed"),
        pytest.param(
            FIRST, [FIRST, replace(SECOND, paid_at=None)], 400 * A_DAY, A_DAY, False, id="the later term was free"
        ),
        pytest.param(
            FIRST,
            [FIRST, replace(SECOND, refunded_as="dashboard")],
            400 * A_DAY,
            A_DAY,
            True,
            id="the later term is refunded too",
        ),
        pytest.param(None, [FIRST], 10 * A_DAY, A_DAY, True, id="no term"),
    ],
)
def test_a_refund_ends_the_subscription_only_if_its_term_is_the_newest(
    refunded: Term | None, terms: list[Term], made: timedelta, known: timedelta, *, ends: bool
) -> None:
    at = FIRST.starts_at + made
    refund = replace(REFUND, created_at=at, made_at=at, recorded_at=at + known)

    assert ends_subscription(refund, refunded, terms) is ends
    assert not ends_subscription(replace(refund, is_history=True), refunded, terms), "history ends nothing"


SENT = StripeRefundState(
    id="re_1",
    amount=REFUND.amount,
    currency=REFUND.currency,
    status=RefundStatus.SUCCEEDED,
    ours="rfd_1",
    request_hash="hash",
    failure_reason=None,
    created_at=REFUND.created_at,
)
OURS = replace(REFUND, id="rfd_1", status=RefundStatus.PROCESSING, stripe_refund_id=None, request_hash="hash")


@pytest.mark.parametrize(
    ("state", "refund", "same"),
    [
        pytest.param(SENT, OURS, True, id="its ID and its request"),
        pytest.param(replace(SENT, request_hash=None), OURS, True, id="its ID"),
        pytest.param(
            replace(SENT, ours="rfd_lost"), OURS, True, id="the same request with another ID, before a restore"
        ),
        pytest.param(replace(SENT, ours="rfd_lost", request_hash="other"), OURS, False, id="another request"),
        pytest.param(replace(SENT, ours="rfd_lost", request_hash=None), OURS, False, id="another ID without a request"),
        pytest.param(replace(SENT, amount=1), OURS, False, id="another amount"),
        pytest.param(SENT, replace(OURS, status="awaiting_approval"), True, id="approved before a restore"),
        pytest.param(SENT, replace(OURS, status="rejected"), False, id="rejected"),
        pytest.param(
            replace(SENT, request_hash=None), replace(OURS, status="awaiting_approval"), False, id="unsent, by ID alone"
        ),
        pytest.param(SENT, replace(OURS, stripe_refund_id="re_2"), False, id="known as another one"),
    ],
)
def test_a_refund_at_stripe_is_ours_by_its_request_or_its_id(
    state: StripeRefundState, refund: Refund, same: bool
) -> None:
    assert state.is_of(refund) == same
