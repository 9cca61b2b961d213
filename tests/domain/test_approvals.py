"""What one person may give alone, and who may approve more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.approvals import (
    ApprovalKind,
    NotAwaitingApproval,
    OwnAccount,
    OwnRequest,
    check_beneficiary,
    check_decision,
    days_of,
    goodwill_given,
    kind_of,
    start_of_day,
)
from app.domain.dated_policies import Given, GivingLimits
from app.domain.refunds import RefundBasis, RefundStatus
from tests.domain.test_quotes import PAYMENT, REFUND, RENEWAL

LIMITS = GivingLimits(alone={"usd": 25_00}, in_a_day={"usd": 60_00})
GOODWILL = replace(REFUND, basis=RefundBasis.GOODWILL, amount=10_00)


@pytest.mark.parametrize(
    ("given_before", "left"),
    [
        pytest.param(Given(), 25_00, id="nothing given"),
        pytest.param(Given(on_payment=24_00), 1_00, id="given on the payment"),
        pytest.param(Given(to_reader=24_00), 1_00, id="given to the reader"),
        pytest.param(Given(today=59_00), 1_00, id="given by the person today"),
        pytest.param(Given(on_payment=5_00, to_reader=7_00, today=9_00), 18_00, id="the strictest counts"),
        pytest.param(Given(on_payment=30_00), 0, id="more than the limit"),
    ],
)
def test_what_was_given_before_reduces_what_one_person_may_give(given_before: Given, left: int) -> None:
    assert LIMITS.left("usd", given_before) == left


def test_without_a_daily_limit_the_single_limit_applies_to_the_day_too() -> None:
    limits = GivingLimits(alone={"usd": 25_00})
    assert limits.left("usd", Given(today=24_00)) == 1_00
    assert limits.left("eur", Given()) == GivingLimits().left("usd", Given()) == 0


@given(st.lists(st.integers(min_value=1, max_value=30_00), max_size=12))
def test_requests_never_add_up_to_more_than_the_limit_without_approval(amounts: list[int]) -> None:
    given_alone = 0
    for amount in amounts:
        if amount <= LIMITS.left("usd", Given(on_payment=given_alone, to_reader=given_alone, today=given_alone)):
            given_alone += amount
    assert given_alone <= 25_00


def test_goodwill_is_added_up_by_payment_and_by_reader() -> None:
    of_renewal = replace(GOODWILL, id="rfd_2", payment_id=RENEWAL.id, amount=3_00)
    reserved = replace(GOODWILL, id="rfd_3", amount=1_00, status=RefundStatus.AWAITING_APPROVAL)
    failed = replace(GOODWILL, id="rfd_4", status=RefundStatus.FAILED)
    other_basis = replace(GOODWILL, id="rfd_5", basis=RefundBasis.UNSERVED_ISSUES)
    euros = replace(GOODWILL, id="rfd_6", currency="eur")
    all_refunds = [GOODWILL, of_renewal, reserved, failed, other_basis, euros]

    found = goodwill_given(PAYMENT, all_refunds, since=None)

    assert (found.on_payment, found.to_reader) == (11_00, 14_00)
    later = goodwill_given(
        PAYMENT,
        [GOODWILL, replace(of_renewal, created_at=GOODWILL.created_at + timedelta(days=2))],
        since=GOODWILL.created_at + timedelta(days=1),
    )
    assert (later.on_payment, later.to_reader) == (10_00, 3_00)


def test_nobody_decides_about_their_own_request_or_gain() -> None:
    request = {"requested_by": "staff:robin", "status": "awaiting_approval", "sub": "ada"}
    check_decision(**request, by="staff:boss")
    with pytest.raises(OwnRequest):
        check_decision(**request, by="staff:robin")
    with pytest.raises(OwnAccount):
        check_decision(**request, by="staff:ada")
    with pytest.raises(NotAwaitingApproval, match="rejected"):
        check_decision(**{**request, "status": "rejected"}, by="staff:boss")


def test_staff_give_nothing_to_themselves_but_use_their_own_guarantee() -> None:
    check_beneficiary("robin", by="reader:robin")
    check_beneficiary("ada", by="staff:robin")
    with pytest.raises(OwnAccount):
        check_beneficiary("robin", by="staff:robin")


def test_a_day_begins_in_the_publishers_time_zone() -> None:
    chicago = ZoneInfo("America/Chicago")
    assert start_of_day(datetime(2026, 3, 2, 3, tzinfo=UTC), chicago) == datetime(2026, 3, 1, 6, tzinfo=UTC)


def test_a_part_of_a_day_of_access_counts_as_a_day() -> None:
    start = datetime(2026, 3, 1, 18, tzinfo=UTC)
    assert [days_of(start, start + timedelta(hours=hours)) for hours in (0, 1, 24, 25)] == [0, 1, 1, 2]


def test_the_kind_of_a_request_follows_from_its_id() -> None:
    assert [kind_of(one) for one in ("rfd_1", "cmp_1", "adj_1", "pi_1", "")] == [
        ApprovalKind.REFUND,
        ApprovalKind.COMP,
        ApprovalKind.EXTENSION,
        None,
        None,
    ]
