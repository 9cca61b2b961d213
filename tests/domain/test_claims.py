"""Which copies can be claimed, when, and what a claim adds."""

from datetime import date, timedelta

import pytest

from app.domain.claims import (
    Claim,
    ClaimableCopy,
    ClaimResolution,
    ClaimStatus,
    ClaimTooLate,
    CopyNotMailed,
    CopySentElsewhere,
    NothingToExtend,
    WantedClaim,
    check_claim,
    issues_added,
    mailed_on,
)
from app.domain.errors import DomainError
from app.domain.issues import Issue
from tests.domain.test_issues import NOON

MAILED = date(2026, 3, 17)
SLIPPED = date(2026, 3, 20)
DAYS = 60


def issue(*, counts_as: int = 1, actual: date | None = None) -> Issue:
    return Issue(
        number=5,
        title="Issue 5",
        cover_date=MAILED,
        planned_mail_date=MAILED,
        actual_mail_date=actual,
        label_cutoff=MAILED - timedelta(days=9),
        counts_as=counts_as,
    )


def copy(run: int = 0, *, run_mailed: date = MAILED, is_grace: bool = False) -> ClaimableCopy:
    return ClaimableCopy(
        subscription_id="scr_1",
        subscriber_id="rdr_1",
        term="in_1",
        issue_number=5,
        run_number=run,
        address_id="adr_1",
        run_as_of=NOON,
        run_mail_date=run_mailed,
        is_grace=is_grace,
    )


def wanted(resolution: str = "resend", *, address: str | None = None) -> WantedClaim:
    return WantedClaim(
        issue_number=5, reason="not_received", resolution=ClaimResolution(resolution), address_id=address
    )


@pytest.mark.parametrize(
    ("claim", "today", "counts_as", "error"),
    [
        pytest.param(wanted(), MAILED, 1, None, id="on the day of mailing"),
        pytest.param(wanted(), MAILED + timedelta(days=DAYS), 1, None, id="on the last day"),
        pytest.param(wanted(), MAILED + timedelta(days=DAYS + 1), 1, ClaimTooLate, id="a day too late"),
        pytest.param(wanted(), MAILED - timedelta(days=1), 1, CopyNotMailed, id="before it is mailed"),
        pytest.param(wanted(address="adr_1"), MAILED, 1, None, id="expected where it was sent"),
        pytest.param(wanted(address="adr_2"), MAILED, 1, CopySentElsewhere, id="expected elsewhere"),
        pytest.param(wanted("extend"), MAILED, 2, None, id="a double issue is added"),
        pytest.param(wanted("extend"), MAILED, 0, NothingToExtend, id="a special issue can't be added"),
        pytest.param(wanted(), MAILED, 0, None, id="a special issue is sent again"),
    ],
)
def test_a_copy_is_claimed_where_and_while_it_can_be(
    claim: WantedClaim, today: date, counts_as: int, error: type[DomainError] | None
) -> None:
    if error is None:
        check_claim(copy(), issue(counts_as=counts_as), claim, moved=False, days=DAYS, today=today)
    else:
        with pytest.raises(error):
            check_claim(copy(), issue(counts_as=counts_as), claim, moved=False, days=DAYS, today=today)


def test_a_grace_copy_is_sent_again_and_adds_nothing_to_a_term() -> None:
    check_claim(copy(is_grace=True), issue(), wanted(), moved=False, days=DAYS, today=MAILED)
    with pytest.raises(NothingToExtend):
        check_claim(copy(is_grace=True), issue(), wanted("extend"), moved=False, days=DAYS, today=MAILED)


def test_after_a_late_move_only_the_address_on_the_label_can_be_claimed() -> None:
    check_claim(copy(), issue(), wanted(address="adr_1"), moved=True, days=DAYS, today=MAILED)
    with pytest.raises(CopySentElsewhere):
        check_claim(copy(), issue(), wanted(), moved=True, days=DAYS, today=MAILED)


@pytest.mark.parametrize(
    ("run", "actual", "run_mailed", "expected"),
    [
        pytest.param(0, None, MAILED, MAILED, id="as planned"),
        pytest.param(0, SLIPPED, MAILED, SLIPPED, id="the issue slipped after the run"),
        pytest.param(1, None, SLIPPED, SLIPPED, id="a supplement is mailed when it is frozen"),
        pytest.param(1, SLIPPED, MAILED, SLIPPED, id="a supplement before the issue goes with it"),
    ],
)
def test_a_copy_is_mailed_with_its_issue_or_its_supplement(
    run: int, actual: date | None, run_mailed: date, expected: date
) -> None:
    assert mailed_on(copy(run, run_mailed=run_mailed), issue(actual=actual)) == expected


@pytest.mark.parametrize(
    ("counts_as", "doubles", "added"),
    [
        pytest.param(1, 2, 1, id="an ordinary issue"),
        pytest.param(2, 2, 2, id="a double issue that served two"),
        pytest.param(2, 1, 1, id="a double issue that served one"),
    ],
)
def test_an_extension_adds_what_the_copy_served(counts_as: int, doubles: int, added: int) -> None:
    assert issues_added(issue(counts_as=counts_as), doubles=doubles) == added


@pytest.mark.parametrize(
    ("granted", "approval", "replacement", "status"),
    [
        pytest.param(True, None, None, ClaimStatus.GRANTED, id="within the limits"),
        pytest.param(False, "awaiting_approval", None, ClaimStatus.AWAITING_APPROVAL, id="above the limits"),
        pytest.param(False, "rejected", None, ClaimStatus.REJECTED, id="rejected"),
        pytest.param(True, "approved", None, ClaimStatus.GRANTED, id="approved"),
        pytest.param(True, None, 1, ClaimStatus.SENT, id="on a supplement"),
    ],
)
def test_the_status_follows_from_the_decision_and_the_supplement(
    granted: bool,
    approval: str | None,
    replacement: int | None,
    status: ClaimStatus,
) -> None:
    claim = Claim(
        id="clm_1",
        subscriber_id="rdr_1",
        subscription_id="scr_1",
        term="in_1",
        issue_number=5,
        run_number=0,
        address_id="adr_1",
        reason="not_received",
        resolution=ClaimResolution.RESEND,
        note=None,
        claimed_by="reader:rdr_1",
        created_at=NOON,
        granted_at=NOON if granted else None,
        approval=approval,
        replacement_number=replacement,
    )
    assert claim.status == status
