"""What follows from each status of a dispute, by rule and by policy, without I/O."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args, get_origin

import pytest
import stripe

from app.domain.disputes import (
    BY_POLICY,
    DEFAULT_POLICY,
    KEEP,
    STATUS_EFFECTS,
    SUSPEND,
    DisputePolicy,
    StripeDisputeState,
    attention_reason,
    effect_of,
    policy_at,
    suspends,
)

OPENED = datetime(2026, 6, 1, tzinfo=UTC)
DISPUTE = StripeDisputeState(
    id="dp_1",
    charge_id="ch_1",
    payment_id="pi_1",
    status="needs_response",
    amount=49_00,
    currency="usd",
    reason="fraudulent",
    due_by=OPENED + timedelta(days=9),
    refundable=False,
    opened_at=OPENED,
)
SUSPENDING = DisputePolicy(since=OPENED - timedelta(days=100), dispute=SUSPEND)
KEEPING = DisputePolicy(since=OPENED + timedelta(days=1), dispute=KEEP)


def test_every_status_that_stripes_types_know_has_an_answer() -> None:
    status = stripe.Dispute.__annotations__["status"]
    known = {word for part in get_args(status) if get_origin(part) is Literal for word in get_args(part)}
    assert known == set(STATUS_EFFECTS)


@pytest.mark.parametrize(
    ("status", "is_open", "suspended"),
    [
        ("warning_needs_response", True, False),
        ("warning_under_review", True, False),
        ("warning_closed", False, False),
        ("needs_response", True, True),
        ("under_review", True, True),
        ("appeal_needs_response", True, True),
        ("appeal_under_review", True, True),
        ("won", False, False),
        ("lost", False, False),  # it ends the term, which is another thing
        ("prevented", False, False),
        pytest.param("arbitration_of_tomorrow", True, False, id="a status that does not exist yet: nothing is guessed"),
    ],
)
def test_a_status_has_one_answer(status: str, is_open: bool, suspended: bool) -> None:
    dispute = replace(DISPUTE, status=status)
    assert effect_of(status).is_open == is_open
    assert suspends(dispute, [SUSPENDING]) == suspended
    assert not suspends(dispute, [replace(SUSPENDING, dispute=KEEP)])


def test_the_policy_of_the_day_on_which_it_was_opened_counts() -> None:
    policies = [KEEPING, SUSPENDING]
    assert suspends(DISPUTE, policies)
    assert not suspends(replace(DISPUTE, opened_at=KEEPING.since), policies)
    assert policy_at(policies, SUSPENDING.since - timedelta(seconds=1)) == DEFAULT_POLICY
    assert policy_at([], OPENED) == DEFAULT_POLICY


@pytest.mark.parametrize(
    ("changed", "refunded", "lost_before", "concern"),
    [
        pytest.param({}, 0, False, None, id="a chargeback to be answered in time, and no more"),
        pytest.param({"status": "lost"}, 0, False, None, id="a loss: by rule"),
        pytest.param({"status": "lost", "amount": 10_00}, 0, False, "in_part", id="a loss of a part"),
        pytest.param({"status": "won", "amount": 10_00}, 0, False, None, id="a part, won: nothing is to be seen to"),
        pytest.param({"currency": "eur"}, 0, False, "other_currency", id="another currency is not compared"),
        pytest.param({}, 49_00, False, "refunded_too", id="the money goes twice"),
        pytest.param({"status": "warning_under_review"}, 49_00, False, None, id="an inquiry that was refunded"),
        pytest.param({"status": "won"}, 0, True, "won_after_lost", id="an appeal that was won"),
        pytest.param({"status": "lost"}, 0, True, None, id="an appeal that was lost"),
        pytest.param({"status": "of_tomorrow"}, 0, False, "unknown_status", id="a status that does not exist yet"),
    ],
)
def test_staff_are_shown_what_no_rule_decides(
    changed: dict[str, object], refunded: int, lost_before: bool, concern: str | None
) -> None:
    dispute = replace(DISPUTE, **changed)  # type: ignore[arg-type]
    assert attention_reason(dispute, paid=49_00, currency="usd", refunded=refunded, lost_before=lost_before) == concern


def test_only_a_chargeback_is_a_matter_of_policy() -> None:
    by_policy = {status for status, answer in STATUS_EFFECTS.items() if answer.access == BY_POLICY}
    assert by_policy == {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
