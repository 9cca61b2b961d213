"""Refunds by themselves: what they end, what tax is in them, and who decides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.disputes import FRAUD_WARNING
from app.domain.refunds import (
    AWAITING,
    COUNTED,
    DASHBOARD,
    DUPLICATE,
    GOODWILL,
    GUARANTEE,
    PAID_AFTER_END,
    PRINT_DROPPED,
    STATUSES,
    UNDONE,
    UNSERVED,
    NotAwaitingApproval,
    OwnRequest,
    Refund,
    decide,
    ends_term,
    left_of,
    tax_part,
)
from app.domain.subscriptions import split
from tests.domain.test_quotes import PAYMENT, REFUND


@pytest.mark.parametrize(
    ("basis", "whole", "ends"),
    [
        pytest.param(GUARANTEE, True, True, id="the guarantee ends the term"),
        pytest.param(UNSERVED, False, True, id="so do unserved issues"),
        pytest.param(DUPLICATE, True, True, id="a double"),
        pytest.param(PAID_AFTER_END, True, True, id="what was paid after the end"),
        pytest.param(FRAUD_WARNING, True, True, id="a fraud warning"),
        pytest.param(GOODWILL, True, False, id="goodwill never does, though it be the whole"),
        pytest.param(PRINT_DROPPED, True, False, id="dropped print never does"),
        pytest.param(DASHBOARD, True, True, id="a whole refund by hand does too"),
        pytest.param(DASHBOARD, False, False, id="a part by hand is goodwill"),
    ],
)
def test_what_a_refund_does_to_access(basis: str, *, whole: bool, ends: bool) -> None:
    assert ends_term(basis, whole=whole) is ends


def test_every_status_is_either_counted_or_came_to_nothing() -> None:
    assert set(STATUSES) == COUNTED | UNDONE
    assert not COUNTED & UNDONE


@pytest.mark.parametrize("status", STATUSES)
def test_promised_and_reserved_money_is_no_longer_left(status: str) -> None:
    left = left_of(PAYMENT, [replace(REFUND, amount=10_00, status=status)])

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
    assert sum(split(whole, weights)) == (whole if sum(weights) else 0)
