"""The dated guarantee: a payment has the terms of the day on which it was made."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dated_policies import Dated
from app.domain.guarantee import Guarantee, GuaranteeTerms
from app.domain.quotes import RefundContext, guarantee_quote, quote_guarantee
from app.domain.refunds import (
    GuaranteeExpired,
    GuaranteeUsed,
    NotTheFirstPayment,
    RefundBasis,
    RefundStatus,
)
from tests.domain.test_quotes import CASE, CHICAGO, NEXT_TERM, PAYMENT, REFUND, RENEWAL, TERM, at

FROM = date(2026, 7, 1)
CHANGED = Guarantee(
    title="Sixty days, then ninety, then thirty for everybody",
    terms=GuaranteeTerms(days=60),
    changes=[
        Dated(date(2027, 1, 1), GuaranteeTerms(days=30, renewals=True, once=False)),
        Dated(FROM, GuaranteeTerms(days=90)),  # the order in the file does not matter
    ],
)


def paid_at(moment: str | datetime, guarantee: Guarantee = CHANGED) -> RefundContext:
    payment = replace(PAYMENT, paid_at=at(moment) if isinstance(moment, str) else moment)
    term = replace(TERM, starts_at=payment.paid_at, ends_at=payment.paid_at + timedelta(days=365))
    return replace(CASE, payment=payment, payments=[payment], terms=[term], guarantee=guarantee)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        pytest.param("2026-06-30T12:00:00-05:00", "2026-08-30T00:00:00-05:00", id="the day before: sixty days"),
        pytest.param("2026-06-30T23:59:59-05:00", "2026-08-30T00:00:00-05:00", id="last second of that day in Chicago"),
        pytest.param("2026-07-01T04:59:59+00:00", "2026-08-30T00:00:00-05:00", id="July 1 in UTC but not in Chicago"),
        pytest.param("2026-07-01T00:00:00-05:00", "2026-09-30T00:00:00-05:00", id="first moment of the change: ninety"),
        pytest.param("2026-12-31T23:00:00-06:00", "2027-04-01T00:00:00-05:00", id="the last day of ninety"),
        pytest.param("2027-01-01T00:30:00-06:00", "2027-02-01T00:00:00-06:00", id="then thirty"),
    ],
)
def test_a_payment_has_the_guarantee_of_its_own_date(moment: str, until: str) -> None:
    case = paid_at(moment)

    last = quote_guarantee(case, now=at(until) - timedelta(seconds=1), zone=CHICAGO)
    over = quote_guarantee(case, now=at(until), zone=CHICAGO)

    assert (last.allowed, last.until) == (True, at(until))
    assert isinstance(over.refusal, GuaranteeExpired)


def test_a_changed_guarantee_does_not_affect_earlier_payments() -> None:
    before = paid_at("2026-06-15T12:00:00-05:00")

    assert quote_guarantee(before, now=at("2026-08-14T12:00:00-05:00"), zone=CHICAGO).allowed
    assert not quote_guarantee(before, now=at("2026-08-15T12:00:00-05:00"), zone=CHICAGO).allowed, (
        "sixty days, not ninety"
    )


@given(days=st.integers(0, 3650), paid_on=st.dates(date(2024, 1, 1), date(2031, 12, 31)))
def test_without_changes_every_day_has_the_same_guarantee(days: int, paid_on: date) -> None:
    plain = Guarantee(title="Always", terms=GuaranteeTerms(days=days))
    later = replace(plain, changes=[Dated(date(2032, 1, 1), GuaranteeTerms(days=1))])

    assert plain.on(paid_on) == later.on(paid_on) == GuaranteeTerms(days=days)


RENEWED = replace(CASE, payments=[PAYMENT, RENEWAL], terms=[TERM, NEXT_TERM], payment=RENEWAL)
SOON = RENEWAL.paid_at + timedelta(days=10)


def covering(*, renewals: bool, once: bool = True, changes: tuple[Dated[GuaranteeTerms], ...] = ()) -> Guarantee:
    return Guarantee(title="t", terms=GuaranteeTerms(days=60, renewals=renewals, once=once), changes=changes)


def test_a_covered_renewal_counts_from_its_own_date() -> None:
    first_only = replace(RENEWED, guarantee=covering(renewals=False))
    all_of_them = replace(RENEWED, guarantee=covering(renewals=True))

    assert isinstance(quote_guarantee(first_only, now=SOON, zone=CHICAGO).refusal, NotTheFirstPayment)
    quote = quote_guarantee(all_of_them, now=SOON, zone=CHICAGO)
    assert quote.allowed
    assert [part.payment.id for part in quote.parts] == [RENEWAL.id], "the year before was used and stays paid"
    late = quote_guarantee(all_of_them, now=RENEWAL.paid_at + timedelta(days=61), zone=CHICAGO)
    assert isinstance(late.refusal, GuaranteeExpired)


def test_renewals_are_covered_from_the_date_of_the_change() -> None:
    too = GuaranteeTerms(days=60, renewals=True)
    day = RENEWAL.paid_at.astimezone(CHICAGO).date()
    since_then = replace(RENEWED, guarantee=covering(renewals=False, changes=(Dated(day, too),)))
    after_it = replace(RENEWED, guarantee=covering(renewals=False, changes=(Dated(day + timedelta(days=1), too),)))

    assert quote_guarantee(since_then, now=SOON, zone=CHICAGO).allowed
    assert isinstance(quote_guarantee(after_it, now=SOON, zone=CHICAGO).refusal, NotTheFirstPayment)


@pytest.mark.parametrize(
    ("basis", "status", "spends"),
    [
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.SUCCEEDED, True, id="given"),
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.PENDING, True, id="promised"),
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.FAILED, False, id="failed"),
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.CANCELED, False, id="canceled"),
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.REJECTED, False, id="rejected"),
        pytest.param(RefundBasis.GUARANTEE, RefundStatus.WITHDRAWN, False, id="withdrawn"),
        pytest.param(RefundBasis.GOODWILL, RefundStatus.SUCCEEDED, False, id="goodwill"),
        pytest.param(RefundBasis.UNSERVED_ISSUES, RefundStatus.SUCCEEDED, False, id="unserved issues"),
        pytest.param("duplicate", RefundStatus.SUCCEEDED, False, id="duplicate"),
    ],
)
@pytest.mark.parametrize("once", [True, False], ids=["once", "repeatedly"])
def test_the_guarantee_counts_refunds_of_all_subscriptions_of_a_reader(
    basis: str, status: str, *, spends: bool, once: bool
) -> None:
    earlier = replace(REFUND, payment_id="pi_of_an_earlier_subscription", basis=basis, status=status)
    case = replace(CASE, refunds=[earlier], guarantee=covering(renewals=False, once=once))

    refusal = quote_guarantee(case, now=PAYMENT.paid_at, zone=CHICAGO).refusal

    assert isinstance(refusal, GuaranteeUsed) if spends and once else refusal is None


def test_a_reader_sees_the_newest_covered_term() -> None:
    case = replace(RENEWED, payment=PAYMENT, guarantee=covering(renewals=True))

    assert guarantee_quote(case, now=SOON, zone=CHICAGO)[0] == RENEWAL.id
    assert guarantee_quote(case, now=PAYMENT.paid_at + timedelta(days=5), zone=CHICAGO)[0] == RENEWAL.id
    none = replace(case, guarantee=covering(renewals=False))
    payment, quote = guarantee_quote(none, now=SOON, zone=CHICAGO)
    assert (payment, type(quote.refusal)) == (PAYMENT.id, GuaranteeExpired)
