"""Transitions between states: those that Stripe allows, and reports of all others."""

from dataclasses import replace

import pytest

from app.domain.status_cells import AccessRule
from app.domain.status_table import STATES, classify
from app.domain.subscriptions import OVER, SubscriptionStatus
from app.domain.transitions import TRANSITIONS, reachable_from, unreachable_origin, unreachable_reason
from tests.domain.test_entitlements import END, SUBSCRIPTION, TERM
from tests.domain.test_status_table import open_until

# From the state of a row to that of a column: 1 in one step, + in several, = it stays, and . not at all.
#                        incomplete, incomplete_expired, trialing, active, past_due, unpaid, paused, canceled
EXPECTED = {
    "incomplete":         "= 1 + 1 + + + 1",
    "incomplete_expired": ". = . . . . . .",
    "trialing":           ". . = 1 1 + 1 1",
    "active":             ". . 1 = 1 + 1 1",
    "past_due":           ". . 1 1 = 1 1 1",
    "unpaid":             ". . 1 1 + = + 1",
    "paused":             ". . + 1 1 + = 1",
    "canceled":           ". . . . . . . =",
}  # fmt: skip
CELLS = [
    pytest.param(before, after, kind, id=f"{before} to {after}")
    for before, row in EXPECTED.items()
    for after, kind in zip(EXPECTED, row.split(), strict=True)
]


def test_every_state_has_transitions() -> None:
    assert list(TRANSITIONS) == list(STATES) == list(EXPECTED)


@pytest.mark.parametrize(("before", "after", "kind"), CELLS)
def test_an_impossible_transition_is_reported(before: str, after: str, kind: str) -> None:
    step = TRANSITIONS[SubscriptionStatus(before)].get(SubscriptionStatus(after))
    why = unreachable_reason(before, after)

    assert (step is not None) == (kind == "1")
    if step is not None:
        assert step.what
        assert step.source.startswith("https://docs.stripe.com/")
    assert (why is None) == (kind != ".")
    assert (after in reachable_from(SubscriptionStatus(before))) == (kind in "1+") or before == after
    standing = classify(
        replace(
            SUBSCRIPTION,
            status=after,
            came_from=unreachable_origin(before, after, None),
            ended_at=END if after in OVER else None,
        ),
        [TERM],
    )
    if kind == ".":
        assert standing.anomaly == (
            "impossible_move",
            f"{after}, paid: it was {before} before, and {why}",
        )
        assert standing.cell.access is AccessRule.TERM
    else:
        assert standing.anomaly is None or standing.anomaly[0] == "impossible_state"


def test_a_revived_subscription_grants_only_paid_terms() -> None:
    again = replace(SUBSCRIPTION, status="active", came_from="canceled")

    assert open_until(again, [TERM]) == END, "and no renewal allowance"


def test_an_impossible_state_is_reported_until_it_is_corrected() -> None:
    assert unreachable_origin("canceled", "active", None) == "canceled"
    assert unreachable_origin("active", "active", "canceled") == "canceled"
    assert unreachable_origin("active", "past_due", "canceled") == "canceled", "later states are not trusted either"
    assert unreachable_origin("past_due", "canceled", "canceled") is None


def test_an_unknown_state_may_follow_any_state_except_an_ended_one() -> None:
    assert unreachable_origin("active", "hibernating", None) is None
    assert unreachable_origin("hibernating", "incomplete", None) is None
    assert unreachable_origin("canceled", "hibernating", None) == "canceled"
