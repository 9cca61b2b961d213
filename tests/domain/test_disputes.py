"""The effects of each dispute status, by rule and by policy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args, get_origin

import pytest
import stripe

from app.domain.disputes import (
    DEFAULT_POLICY,
    STATUS_EFFECTS,
    AccessEffect,
    DisputePolicy,
    PolicyAction,
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
SUSPENDING = DisputePolicy(since=OPENED - timedelta(days=100), dispute=PolicyAction.SUSPEND)
KEEPING = DisputePolicy(since=OPENED + timedelta(days=1), dispute=PolicyAction.KEEP)


def test_every_dispute_status_of_stripe_is_handled() -> None:
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
        ("lost", False, False),  # a lost dispute ends the term instead
        ("prevented", False, False),
        pytest.param("arbitration_of_tomorrow", True, False, id="unknown status: no effect"),
    ],
)
def test_a_dispute_status_has_one_result(status: str, is_open: bool, suspended: bool) -> None:
    dispute = replace(DISPUTE, status=status)
    assert effect_of(status).is_open == is_open
    assert suspends(dispute, [SUSPENDING]) == suspended
    assert not suspends(dispute, [replace(SUSPENDING, dispute=PolicyAction.KEEP)])


def test_the_policy_of_the_day_a_dispute_was_opened_applies() -> None:
    policies = [KEEPING, SUSPENDING]
    assert suspends(DISPUTE, policies)
    assert not suspends(replace(DISPUTE, opened_at=KEEPING.since), policies)
    assert policy_at(policies, SUSPENDING.since - timedelta(seconds=1)) == DEFAULT_POLICY
    assert policy_at([], OPENED) == DEFAULT_POLICY


@pytest.mark.parametrize(
    ("changed", "refunded", "lost_before", "concern"),
    [
        pytest.param({}, 0, False, None, id="chargeback with a deadline"),
        pytest.param({"status": "lost"}, 0, False, None, id="lost: by rule"),
        pytest.param({"status": "lost", "amount": 10_00}, 0, False, "in_part", id="partly lost"),
        pytest.param(
            {"status": "won", "amount": 10_00}, 0, False, None, id="partly disputed and won: no attention needed"
        ),
        pytest.param({"currency": "eur"}, 0, False, "other_currency", id="other currency"),
        pytest.param({}, 49_00, False, "refunded_too", id="disputed after a refund"),
        pytest.param({"status": "warning_under_review"}, 49_00, False, None, id="refunded inquiry"),
        pytest.param({"status": "won"}, 0, True, "won_after_lost", id="appeal won"),
        pytest.param({"status": "lost"}, 0, True, None, id="appeal lost"),
        pytest.param({"status": "of_tomorrow"}, 0, False, "unknown_status", id="unknown status"),
    ],
)
def test_undecided_disputes_are_shown_to_staff(
    changed: dict[str, object], refunded: int, lost_before: bool, concern: str | None
) -> None:
    dispute = replace(DISPUTE, **changed)  # type: ignore[arg-type]
    assert attention_reason(dispute, paid=49_00, currency="usd", refunded=refunded, lost_before=lost_before) == concern


def test_only_chargebacks_depend_on_the_policy() -> None:
    by_policy = {status for status, answer in STATUS_EFFECTS.items() if answer.access == AccessEffect.BY_POLICY}
    assert by_policy == {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
