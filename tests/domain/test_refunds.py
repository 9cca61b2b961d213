"""Refunds by themselves: what they end, what tax is in them, and who decides."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.disputes import FRAUD_WARNING
from app.domain.refunds import (
    AWAITING,
    COUNTED,
    DASHBOARD,
    DUPLICATE,
    FAILED,
    GOODWILL,
    GUARANTEE,
    PAID_AFTER_END,
    PRINT_DROPPED,
    STATUSES,
    SUCCEEDED,
    UNDONE,
    UNSERVED,
    NotAwaitingApproval,
    OwnRequest,
    Refund,
    decide,
    ending_basis,
    refundable_amount,
    tax_part,
)
from app.domain.subscriptions import allocate
from tests.domain.test_quotes import PAYMENT, REFUND


def back(amount: int, basis: str = DASHBOARD, *, day: int = 1, status: str = SUCCEEDED) -> Refund:
    """Return a refund of a payment of 53.00."""
    at = REFUND.created_at + timedelta(days=day)
    return replace(
        REFUND, id=f"rfd_{basis}_{day}", basis=basis, amount=amount, status=status, created_at=at, made_at=at
    )


@pytest.mark.parametrize(
    ("refunds", "ends"),
    [
        pytest.param([back(53_00, GUARANTEE)], GUARANTEE, id="the guarantee ends the term"),
        pytest.param([back(1_00, UNSERVED)], UNSERVED, id="so do unserved issues, whatever they are worth"),
        pytest.param([back(53_00, DUPLICATE)], DUPLICATE, id="a double"),
        pytest.param([back(53_00, PAID_AFTER_END)], PAID_AFTER_END, id="what was paid after the end"),
        pytest.param([back(53_00, FRAUD_WARNING)], FRAUD_WARNING, id="a fraud warning"),
        pytest.param([back(53_00, GOODWILL)], None, id="goodwill never does, though it be the whole"),
        pytest.param([back(9_00, PRINT_DROPPED)], None, id="dropped print never does"),
        pytest.param([back(53_00)], DASHBOARD, id="a whole refund by hand does too"),
        pytest.param([back(52_99)], None, id="a part by hand is goodwill"),
        pytest.param([back(30_00), back(23_00, day=2)], DASHBOARD, id="two parts by hand that are the whole"),
        pytest.param([back(5_00, GOODWILL), back(48_00, day=2)], DASHBOARD, id="the rest by hand, after goodwill"),
        pytest.param([back(5_00, GOODWILL), back(48_00)], DASHBOARD, id="the rest by hand, in the same second"),
        pytest.param([back(48_00), back(5_00, GOODWILL, day=2)], None, id="goodwill after a part by hand is goodwill"),
        pytest.param([back(30_00), back(23_00, day=2, status=FAILED)], None, id="what failed did not go back"),
    ],
)
def test_what_a_refund_does_to_access_whichever_we_hear_of_first(refunds: list[Refund], ends: str | None) -> None:
    for order in itertools.permutations(refunds):
        known = [order[: n + 1] for n in range(len(order))]
        found = {ending_basis(order[n], 53_00, known[n]) for n in range(len(order)) if order[n].status != FAILED}

        assert found - {None} == ({ends} if ends else set())


def test_a_refund_by_hand_of_another_than_the_payment_that_opened_the_term_ends_nothing() -> None:
    assert ending_basis(back(4_00), 0, [back(4_00)]) is None


def test_every_status_is_either_counted_or_came_to_nothing() -> None:
    assert set(STATUSES) == COUNTED | UNDONE
    assert not COUNTED & UNDONE


@pytest.mark.parametrize("status", STATUSES)
def test_promised_and_reserved_money_is_no_longer_left(status: str) -> None:
    left = refundable_amount(PAYMENT, [replace(REFUND, amount=10_00, status=status)])

    assert left == (43_00 if status in COUNTED else 53_00)


@given(tax=st.integers(0, 10_000), parts=st.lists(st.integers(1, 5_000), min_size=1, max_size=8))
def test_the_taxes_of_all_parts_are_the_tax_of_the_whole(tax: int, parts: list[int]) -> None:
    payment = replace(PAYMENT, amount=sum(parts), tax=min(tax, sum(parts)))
    refunds: list[Refund] = []
    for number, amount in enumerate(parts):
        within = tax_part(payment, amount, refunds)
        assert 0 <= within <= amount
        refunds.append(replace(REFUND, id=f"rfd_{number}", amount=amount, tax=within))

    assert sum(refund.tax for refund in refunds) == payment.tax


def test_a_second_person_decides_and_only_about_what_waits() -> None:
    waiting = replace(REFUND, status=AWAITING, requested_by="staff:ann")

    decide(waiting, by="staff:bob")
    with pytest.raises(OwnRequest):
        decide(waiting, by="staff:ann")
    with pytest.raises(NotAwaitingApproval):
        decide(replace(waiting, status="succeeded"), by="staff:bob")


@given(whole=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_sharing_tax_among_payments_loses_no_cent(whole: int, weights: list[int]) -> None:
    assert sum(allocate(whole, weights)) == (whole if sum(weights) else 0)
