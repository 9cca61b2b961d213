"""Which of several concurrent subscriptions is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.duplicates import DuplicateCandidate, Resolution, resolve
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def candidate(
    name: str, status: str = "active", *, paid: int | None = None, created: int = 0, followed: int | None = None
) -> DuplicateCandidate:
    """Return a live subscription, first paid a number of days after March 1."""
    return DuplicateCandidate(
        id=f"scr_{name}",
        stripe_id=f"sub_{name}",
        status=status,
        created_at=DAY + timedelta(days=created),
        paid_at=DAY + timedelta(days=paid) if paid is not None else None,
        followed_since=DAY + timedelta(days=followed) if followed is not None else None,
    )


@pytest.mark.parametrize(
    ("live", "stays", "ends"),
    [
        pytest.param([], None, {}, id="no subscription"),
        pytest.param([candidate("a", paid=1)], "a", {}, id="a single one is kept"),
        pytest.param(
            [candidate("a", paid=2), candidate("b", paid=1)],
            "b",
            {"a": RefundBasis.DUPLICATE},
            id="the first paid one is kept",
        ),
        pytest.param(
            [candidate("b", paid=1), candidate("a", paid=1)],
            "a",
            {"b": RefundBasis.DUPLICATE},
            id="paid in the same second: by ID",
        ),
        pytest.param(
            [candidate("a", paid=5, created=0), candidate("b", paid=1, created=1)],
            "b",
            {"a": RefundBasis.DUPLICATE},
            id="started first but paid last: a duplicate",
        ),
        pytest.param(
            [candidate("a", paid=1), candidate("b", paid=2), candidate("c", paid=3)],
            "a",
            {"b": RefundBasis.DUPLICATE, "c": RefundBasis.DUPLICATE},
            id="three tabs",
        ),
        pytest.param(
            [candidate("a", "past_due", paid=-365), candidate("b", paid=1)],
            "b",
            {"a": EndReason.REPLACED},
            id="a canceled one is not preferred",
        ),
        pytest.param(
            [candidate("a", "trialing"), candidate("b", paid=1)], "b", {"a": EndReason.REPLACED}, id="paid before trial"
        ),
        pytest.param(
            [candidate("a", paid=None), candidate("b", paid=1)],
            "b",
            {"a": EndReason.REPLACED},
            id="active but never paid",
        ),
        pytest.param(
            [candidate("b", "trialing", created=0), candidate("a", "trialing", created=1)],
            "b",
            {"a": EndReason.REPLACED},
            id="two trials",
        ),
        pytest.param(
            [candidate("a", "past_due", paid=-1), candidate("b", "past_due", paid=-2)], None, {}, id="two past due"
        ),
        pytest.param(
            [candidate("a", "past_due", paid=-1), candidate("b", "trialing")],
            "b",
            {},
            id="past due beside a trial",
        ),
    ],
)
def test_the_earliest_paid_subscription_is_kept(
    live: list[DuplicateCandidate], stays: str | None, ends: dict[str, str]
) -> None:
    verdict = resolve(live)

    assert (verdict.stays.id if verdict.stays else None) == (f"scr_{stays}" if stays else None)
    assert {loser.id.removeprefix("scr_"): by for loser, by in verdict.ends} == ends


STATUSES = st.sampled_from(["active", "trialing", "past_due"])
DUPLICATES = st.lists(
    st.builds(
        candidate,
        st.text("abcdef", min_size=1, max_size=3),
        STATUSES,
        paid=st.none() | st.integers(-400, 10),
        created=st.integers(-400, 10),
    ),
    max_size=6,
    unique_by=lambda one: one.id,
)


@given(DUPLICATES, st.randoms(use_true_random=False))
def test_one_subscription_is_kept_in_any_order_and_a_paid_one_if_possible(
    live: list[DuplicateCandidate], chance: Random
) -> None:
    shuffled = chance.sample(live, len(live))
    verdict = resolve(live)
    again = resolve(shuffled)

    assert verdict.stays == again.stays
    assert set(verdict.ends) == set(again.ends)
    paid = [one for one in live if one.is_paid]
    left = [one for one in live if one not in {loser for loser, _ in verdict.ends}]
    if paid:
        assert left == [verdict.stays]
        assert verdict.stays in paid
    assert not any(loser.id == (verdict.stays.id if verdict.stays else None) for loser, _ in verdict.ends)


@given(DUPLICATES)
def test_the_kept_subscription_stays_the_same_without_the_duplicates(live: list[DuplicateCandidate]) -> None:
    verdict = resolve(live)
    left = [one for one in live if one not in {loser for loser, _ in verdict.ends}]

    assert resolve(left).stays == verdict.stays
    assert resolve(left).ends == ()


def test_a_subscription_whose_renewal_was_never_paid_gives_way_to_a_paid_one() -> None:
    lapsed, new = replace(candidate("a", paid=1), has_lapsed=True), candidate("b", paid=400)

    assert resolve([lapsed, new]) == Resolution(stays=new, ends=((lapsed, EndReason.REPLACED),))


@pytest.mark.parametrize(
    ("live", "ends", "left"),
    [
        pytest.param(
            [candidate("a", paid=-900, followed=0), candidate("b", paid=-800, followed=0)],
            {},
            {"b"},
            id="two imported ones: one may be for somebody else",
        ),
        pytest.param(
            [candidate("a", paid=-900, followed=0), candidate("b", paid=5, created=5)],
            {"b": RefundBasis.DUPLICATE},
            set(),
            id="bought here beside an imported one: a duplicate",
        ),
        pytest.param(
            [candidate("a", paid=1), candidate("b", paid=2, created=2, followed=30)],
            {},
            {"b"},
            id="created by staff, and found by a reconciliation",
        ),
        pytest.param(
            [candidate("a", "past_due", paid=-900, followed=0), candidate("b", paid=-800, followed=0)],
            {},
            {"a"},
            id="imported with a failed renewal: the other one was not bought instead",
        ),
        pytest.param(
            [candidate("a", "past_due", paid=-900, followed=0), candidate("b", paid=5, created=5)],
            {"a": EndReason.REPLACED},
            set(),
            id="imported with a failed renewal, and bought again here",
        ),
        pytest.param(
            [candidate("a", "trialing", followed=0), candidate("b", "trialing", created=1, followed=0)],
            {},
            {"b"},
            id="two imported trials",
        ),
    ],
)
def test_the_policy_leaves_what_began_before_it_was_followed(
    live: list[DuplicateCandidate], ends: dict[str, str], left: set[str]
) -> None:
    for order in (live, live[::-1]):
        decided = resolve(order)

        assert {one.id.removeprefix("scr_"): why for one, why in decided.ends} == ends
        assert {one.id.removeprefix("scr_") for one in decided.left} == left
