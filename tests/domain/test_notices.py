"""What a reader is told about disputes and failed refunds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.access_status import Notice
from app.domain.disputes import Dispute
from app.domain.notices import is_on_hold, notice_for
from app.domain.subscriptions import Subscription, Term
from tests.domain.test_disputes import DISPUTE
from tests.domain.test_quotes import PAYMENT
from tests.domain.test_reader_summary import END, NOW, RUNNING, TERM

BY_STATUS = Notice(code="ends", text="Your subscription is scheduled to end.", until=None, action="resume")
OVER = replace(RUNNING, status="canceled", ended_at=NOW, access_ended_at=NOW, ended_by="guarantee")
NEXT = replace(TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=365))


def dispute(status: str, payment: str = PAYMENT.id) -> Dispute:
    facts = {name: getattr(DISPUTE, name) for name in DISPUTE.__slots__} | {"status": status, "payment_id": payment}
    return Dispute(**facts, subscriber_id="rdr_1", concern=None, lost_at=None, closed_at=None)


SUSPENDED = replace(TERM, suspended_as="dispute_open")
FAILED = replace(TERM, refunded_as="guarantee", refund_failed=True)


@pytest.mark.parametrize(
    ("subscription", "terms", "disputes", "code"),
    [
        pytest.param(RUNNING, [TERM], [], "ends", id="nothing urgent: what the status says"),
        pytest.param(RUNNING, [SUSPENDED], [dispute("needs_response")], "dispute_open", id="on hold"),
        pytest.param(RUNNING, [SUSPENDED], [dispute("under_review")], "dispute_open", id="under review"),
        pytest.param(RUNNING, [TERM], [dispute("needs_response")], "payment_disputed", id="the policy keeps access"),
        pytest.param(RUNNING, [TERM], [dispute("warning_needs_response")], "payment_disputed", id="an inquiry"),
        pytest.param(RUNNING, [TERM], [dispute("won")], "ends", id="won"),
        pytest.param(RUNNING, [TERM], [dispute("warning_closed")], "ends", id="a closed inquiry"),
        pytest.param(RUNNING, [TERM], [dispute("needs_response", "pi_other")], "ends", id="another subscription's"),
        pytest.param(replace(OVER, ended_by="dispute_lost"), [TERM], [dispute("lost")], "dispute_lost", id="lost"),
        pytest.param(OVER, [replace(TERM, refunded_as="guarantee")], [], "ends", id="refunded"),
        pytest.param(OVER, [FAILED], [], "refund_failed", id="the refund failed later"),
        pytest.param(
            OVER, [replace(FAILED, restored_as="refund_failed")], [], "refund_failed", id="and it was restored"
        ),
        pytest.param(RUNNING, [FAILED, NEXT], [], "ends", id="a later term is paid"),
    ],
)
def test_the_most_urgent_notice_is_shown(
    subscription: Subscription, terms: Sequence[Term], disputes: Sequence[Dispute], code: str
) -> None:
    shown = notice_for(subscription, terms, [PAYMENT], disputes, by_status=BY_STATUS, now=NOW)
    assert shown is not None
    assert shown.code == code


def test_the_notice_of_a_restored_term_has_its_end() -> None:
    restored = replace(FAILED, restored_as="refund_failed")
    shown = notice_for(OVER, [restored], [PAYMENT], [], by_status=None, now=NOW)
    assert shown is not None
    assert shown.until == END
    assert notice_for(OVER, [restored], [PAYMENT], [], by_status=None, now=END) is None


def test_access_is_on_hold_only_while_the_running_term_is_suspended() -> None:
    assert is_on_hold([SUSPENDED], now=NOW)
    assert not is_on_hold([SUSPENDED, NEXT], now=END), "the running term is paid with another payment"
    assert not is_on_hold([TERM], now=NOW)
    assert not is_on_hold([], now=NOW)
