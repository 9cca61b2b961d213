"""When the first copy of a subscription came, from which a withdrawal from print counts."""

from datetime import date

import pytest

from app.domain.label_runs import LabelKind
from app.domain.sent_copies import SentCopy, first_received

FIRST, SECOND = date(2026, 3, 5), date(2026, 3, 19)


def _copy(mail_date: date, *, kind: LabelKind = LabelKind.COPY, claimed: bool = False, lost: bool = False) -> SentCopy:
    return SentCopy(
        subscription_id="sub_1",
        issue_number=5,
        title="Five",
        mail_date=mail_date,
        run_number=0,
        kind=kind,
        address_id="adr_1",
        lines=(),
        claimed=claimed,
        lost=lost,
    )


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        pytest.param(_copy(FIRST), FIRST, id="sent"),
        pytest.param(_copy(FIRST, claimed=True), FIRST, id="claimed as damaged, or the claim was rejected"),
        pytest.param(_copy(FIRST, claimed=True, lost=True), SECOND, id="lost in the mail"),
        pytest.param(_copy(FIRST, kind=LabelKind.BACK_ISSUE), SECOND, id="a back issue"),
        pytest.param(_copy(FIRST, kind=LabelKind.REPLACEMENT), FIRST, id="a replacement"),
    ],
)
def test_the_first_copy_is_the_first_that_was_owed_and_not_lost(first: SentCopy, expected: date) -> None:
    assert first_received([_copy(SECOND), first]) == expected


def test_without_copies_none_came() -> None:
    assert first_received([]) is None
