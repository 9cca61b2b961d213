"""The status table: the access and notices of each cell, and reports of impossible states."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.status_table import page
from app.domain.entitlements import EntitlementSet as United
from app.domain.entitlements import combine_grants, decide
from app.domain.grants import grants_of
from app.domain.status_table import STATES, TABLE, AccessRule, Cell, Circumstance, classify, notice_of
from app.domain.subscriptions import OVER, Subscription, Term
from tests.domain.test_entitlements import CATALOGUE, END, POLICY, START, SUBSCRIPTION, TERM

E, R, N, C, S, P = Circumstance
TERM_LAPSES = END
ALLOWED, GRACED, CUT_AT = END + timedelta(days=3), END + timedelta(days=14), END - timedelta(days=100)
NOTHING = None
X = "impossible"

# Until when the archive is open, for each state (rows) and circumstance (columns).
#                       ended here  refunded  never paid  paused     ends          paid
EXPECTED = {
    "incomplete":         (NOTHING, X,        NOTHING,    X,         X,            X),
    "incomplete_expired": (NOTHING, X,        NOTHING,    X,         X,            X),
    "trialing":           (CUT_AT,  X,        NOTHING,    END,       END,          ALLOWED),
    "active":             (CUT_AT,  X,        NOTHING,    END,       END,          ALLOWED),
    "past_due":           (CUT_AT,  X,        NOTHING,    GRACED,    GRACED,       GRACED),
    "unpaid":             (CUT_AT,  X,        NOTHING,    END,       END,          END),
    "paused":             (CUT_AT,  X,        NOTHING,    END,       END,          END),
    "canceled":           (CUT_AT,  NOTHING,  NOTHING,    CUT_AT,    X,            CUT_AT),
}  # fmt: skip
CELLS = [
    pytest.param(status, circumstance, until, id=f"{status}, {circumstance.value}")
    for status, row in EXPECTED.items()
    for circumstance, until in zip(Circumstance, row, strict=True)
]


def life(status: str, circumstance: Circumstance) -> tuple[Subscription, list[Term]]:
    """Return a subscription in that state and circumstance, with its terms."""
    never = circumstance is N or (circumstance is E and status.startswith("incomplete"))
    held = replace(
        SUBSCRIPTION,
        status=status,
        access_ended_at=CUT_AT if circumstance is E else None,
        ended_at=CUT_AT if status in OVER else None,
        collection_paused="void" if circumstance is C else None,
        cancel_at=END if circumstance is S else None,
    )
    term = replace(TERM, refunded_as="guarantee" if circumstance is R else None)
    return held, [] if never else [term]


def open_until(held: Subscription, terms: list[Term]) -> object:
    """Return the end of access to the archive, found day by day, or None without access."""
    access = combine_grants(grants_of(held, terms, CATALOGUE, POLICY), [])
    days = [START + timedelta(days=n) for n in range(500)]
    allowed = [day for day in days if decide(access, "archive", CATALOGUE, now=day).allowed]
    return max(spell.until for spell in access.features["archive"]) if allowed else None


def test_every_state_and_circumstance_has_a_cell() -> None:
    assert set(TABLE) == set(STATES) == set(EXPECTED)
    assert all(list(row) == list(Circumstance) for row in TABLE.values())


@pytest.mark.parametrize(("status", "circumstance", "until"), CELLS)
def test_a_cell_grants_the_documented_access_or_is_reported(
    status: str, circumstance: Circumstance, until: object
) -> None:
    held, terms = life(status, circumstance)

    standing = classify(held, terms)

    assert standing.circumstance is circumstance
    if until == X:
        assert standing.anomaly is not None
        assert standing.anomaly[0] == "impossible_state"
        paid = [term.ends_at for term in terms if term.refunded_as is None]
        assert standing.access is AccessRule.TERM
        most = min(paid[0], CUT_AT) if paid and status in OVER else paid[0] if paid else None
        assert open_until(held, terms) == most, "the paid term and nothing beyond"
    else:
        assert standing.anomaly is None
        assert open_until(held, terms) == until


@pytest.mark.parametrize(
    "cell",
    [cell for row in TABLE.values() for cell in row.values() if isinstance(cell, Cell)],
    ids=lambda cell: cell.code,
)
def test_each_cell_is_shown_to_staff_with_its_source(cell: Cell) -> None:
    assert cell.staff.endswith(".")
    assert cell.source
    assert not cell.reader or cell.reader.endswith(".")
    assert cell.action is None or cell.reader, "a reader who must act is told what to do"


@pytest.mark.parametrize("circumstance", [c for c in Circumstance if c is not E])
def test_an_unknown_state_grants_paid_terms_and_is_reported(circumstance: Circumstance) -> None:
    held, terms = life("hibernating", circumstance)

    assert classify(held, terms).anomaly == (
        "unknown_state",
        f"hibernating, {circumstance.value}: this release doesn't know the status",
    )
    assert open_until(held, terms) == (END if circumstance not in {N, R} else None)
    assert notice_of(held, terms, POLICY) is None


@pytest.mark.parametrize("status", sorted(OVER))
def test_an_ended_subscription_without_an_end_time_is_reported(status: str) -> None:
    held, terms = life(status, N)

    assert classify(replace(held, ended_at=None), terms).anomaly is not None


def test_a_trial_grants_digital_features_until_its_first_payment_is_due() -> None:
    trial_end = START + timedelta(days=30)
    held = replace(SUBSCRIPTION, status="trialing", print_edition=True, trial_end=trial_end)

    def reason(of: Subscription, feature: str, day: int) -> str | None:
        access: United = combine_grants(grants_of(of, [], CATALOGUE, POLICY), [])
        answer = decide(access, feature, CATALOGUE, now=START + timedelta(days=day))
        return answer.reason if answer.allowed else None

    assert reason(held, "archive", 29) == "trial"
    assert reason(held, "print_edition", 29) is None
    assert reason(replace(held, status="active"), "archive", 31) == "renewal_pending"
    assert reason(replace(held, status="past_due"), "archive", 31) is None, "the grace period follows the paid term"
    assert reason(replace(held, cancel_at=trial_end), "archive", 31) is None
    ended = replace(held, status="canceled", ended_at=START + timedelta(days=10))
    assert (reason(ended, "archive", 9), reason(ended, "archive", 11)) == ("trial", None)


def test_a_reader_in_dunning_sees_the_reason_and_the_end_of_access() -> None:
    held, terms = life("past_due", P)

    notice = notice_of(held, terms, POLICY)

    assert notice is not None
    assert (notice.code, notice.until, notice.action) == ("payment_failed", GRACED, "update_payment_method")


@given(st.sampled_from([*STATES, "hibernating"]), st.sampled_from(list(Circumstance)), st.integers(0, 500))
def test_unpaid_access_never_exceeds_the_grace_period(status: str, circumstance: Circumstance, day: int) -> None:
    held, terms = life(status, circumstance)
    access = combine_grants(grants_of(held, terms, CATALOGUE, POLICY), [])
    answer = decide(access, "archive", CATALOGUE, now=START + timedelta(days=day))

    if answer.allowed:
        assert any(term.refunded_as is None for term in terms)
        assert START + timedelta(days=day) < END + max(POLICY.grace_period, POLICY.renewal_allowance)


def test_the_documentation_page_is_up_to_date() -> None:
    assert (Path(__file__).parents[2] / "docs/concepts/subscription-states.md").read_text() == page(), "make reference"
