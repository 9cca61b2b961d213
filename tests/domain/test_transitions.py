"""From state to state: each road that Stripe knows, and no other. A move without a road is reported and not guessed."""

from dataclasses import replace

import pytest

from app.domain.status_table import STATES, AccessRule, classify
from app.domain.subscriptions import OVER
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
    "past_due":           ". . 1 1 = 1 + 1",
    "unpaid":             ". . 1 1 + = + 1",
    "paused":             ". . + 1 + + = 1",
    "canceled":           ". . . . . . . =",
}  # fmt: skip
CELLS = [
    pytest.param(before, after, kind, id=f"{before} to {after}")
    for before, row in EXPECTED.items()
    for after, kind in zip(EXPECTED, row.split(), strict=True)
]


def test_every_state_has_its_steps() -> None:
    assert list(TRANSITIONS) == list(STATES) == list(EXPECTED)


@pytest.mark.parametrize(("before", "after", "kind"), CELLS)
def test_a_move_has_its_road_or_is_reported_and_not_guessed(before: str, after: str, kind: str) -> None:
    step = TRANSITIONS[before].get(after)
    why = unreachable_reason(before, after)

    assert (step is not None) == (kind == "1")
    if step is not None:
        assert step.what
        assert step.source.startswith("https://docs.stripe.com/")
    assert (why is None) == (kind != ".")
    assert (after in reachable_from(before)) == (kind in "1+") or before == after
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
            f"{after}, goes on: it was {before} before, and {why}",
        )
        assert standing.access is AccessRule.TERM
    else:
        assert standing.anomaly is None or standing.anomaly[0] == "impossible_state"


def test_what_lives_again_gives_what_is_paid_for_and_nothing_beyond_it() -> None:
    again = replace(SUBSCRIPTION, status="active", came_from="canceled")

    assert open_until(again, [TERM]) == END, "and no renewal allowance"


def test_it_is_reported_until_it_is_what_it_can_be() -> None:
    assert unreachable_origin("canceled", "active", None) == "canceled"
    assert unreachable_origin("active", "active", "canceled") == "canceled"
    assert unreachable_origin("active", "past_due", "canceled") == "canceled", (
        "nothing that follows from it is believed either"
    )
    assert unreachable_origin("past_due", "canceled", "canceled") is None


def test_of_a_state_that_does_not_exist_yet_anything_may_be_true_but_that_what_is_over_goes_on() -> None:
    assert unreachable_origin("active", "hibernating", None) is None
    assert unreachable_origin("hibernating", "incomplete", None) is None
    assert unreachable_origin("canceled", "hibernating", None) == "canceled"
