"""The status table: the access and notices of each cell, and reports of impossible states."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.status_table import page
from app.domain.entitlements import OPEN_ENDED, combine_grants, decide
from app.domain.entitlements import EntitlementSet as United
from app.domain.grants import grants_of
from app.domain.invoices import InvoiceStatus
from app.domain.renewals import CollectionMethod, Pause, PauseReason, PaymentStatus, Renewal
from app.domain.status_cells import AccessRule, Cell, Circumstance
from app.domain.status_table import STATES, TABLE, classify
from app.domain.subscriptions import OVER, Subscription, SubscriptionStatus, Term
from tests.domain.test_entitlements import CATALOGUE, END, POLICY, START, SUBSCRIPTION, TERM

C = Circumstance
ALLOWED, GRACED, CUT_AT = END + timedelta(days=3), END + timedelta(days=14), END - timedelta(days=100)
DUE = END + timedelta(days=30)
OVERDUE = DUE + POLICY.grace_period
NOTHING = None
RENEWAL = Renewal(invoice_id="in_2", status=InvoiceStatus.OPEN, starts_at=END)
RENEWALS = {
    C.FIRST_PROCESSING: replace(RENEWAL, starts_at=START, attempted=True, payment=PaymentStatus.PROCESSING),
    C.PROCESSING: replace(RENEWAL, attempted=True, payment=PaymentStatus.PROCESSING),
    C.CONFIRM: replace(RENEWAL, attempted=True, payment=PaymentStatus.REQUIRES_ACTION),
    C.FAILED: replace(RENEWAL, attempted=True, payment=PaymentStatus.REQUIRES_PAYMENT_METHOD),
    C.SENT: replace(RENEWAL, collection_method=CollectionMethod.SEND_INVOICE, due_at=DUE),
    C.HELD: replace(RENEWAL, status=InvoiceStatus.DRAFT, auto_advance=False),
}
S = SubscriptionStatus

# Until when the archive is open, for each status and circumstance. What is not listed is impossible.
EXPECTED: dict[SubscriptionStatus, dict[Circumstance, object]] = {
    S.INCOMPLETE: {C.ENDED_HERE: NOTHING, C.FIRST_PROCESSING: NOTHING, C.NEVER_PAID: NOTHING},
    S.INCOMPLETE_EXPIRED: {C.ENDED_HERE: NOTHING, C.NEVER_PAID: NOTHING},
    S.TRIALING: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.FIRST_PROCESSING: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.PROCESSING: OPEN_ENDED,
        C.NOT_COLLECTED: END,
        C.ENDS: END,
        C.CONFIRM: ALLOWED,
        C.FAILED: ALLOWED,
        C.SENT: ALLOWED,
        C.HELD: ALLOWED,
        C.PAID: ALLOWED,
    },
    S.ACTIVE: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.FIRST_PROCESSING: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.PROCESSING: OPEN_ENDED,
        C.NOT_COLLECTED: END,
        C.ENDS: END,
        C.CONFIRM: GRACED,
        C.FAILED: GRACED,
        C.SENT: OVERDUE,
        C.HELD: ALLOWED,
        C.PAID: ALLOWED,
    },
    S.PAST_DUE: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.FIRST_PROCESSING: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.PROCESSING: OPEN_ENDED,
        C.NOT_COLLECTED: GRACED,
        C.ENDS: GRACED,
        C.CONFIRM: GRACED,
        C.FAILED: GRACED,
        C.SENT: OVERDUE,
        C.HELD: GRACED,
        C.PAID: GRACED,
    },
    S.UNPAID: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.FIRST_PROCESSING: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.PROCESSING: OPEN_ENDED,
        C.NOT_COLLECTED: END,
        C.ENDS: END,
        C.CONFIRM: END,
        C.FAILED: END,
        C.SENT: OVERDUE,
        C.HELD: END,
        C.PAID: END,
    },
    S.PAUSED: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.FIRST_PROCESSING: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.PROCESSING: OPEN_ENDED,
        C.PAUSED_UNPAID: GRACED,
        C.PAUSED_CREDITED: CUT_AT,
        C.NOT_COLLECTED: END,
        C.ENDS: END,
        C.CONFIRM: END,
        C.FAILED: END,
        C.SENT: END,
        C.HELD: END,
        C.PAID: END,
    },
    S.CANCELED: {
        C.ENDED_HERE: CUT_AT,
        C.REFUNDED: NOTHING,
        C.NEVER_PAID: NOTHING,
        C.NOT_COLLECTED: CUT_AT,
        C.PAID: CUT_AT,
    },
}
NOT_PAUSED = {C.PAUSED_UNPAID, C.PAUSED_CREDITED}
ENDED = {S.CANCELED, S.INCOMPLETE_EXPIRED}


def can_occur(status: str, circumstance: Circumstance) -> bool:
    """Return whether a subscription is ever classified so. Pauses need that status; nothing is awaited after the end."""
    if circumstance in NOT_PAUSED:
        return status == S.PAUSED
    return status not in ENDED or circumstance not in RENEWALS


CELLS = [
    pytest.param(status, circumstance, id=f"{status}, {circumstance.value}")
    for status in EXPECTED
    for circumstance in Circumstance
    if can_occur(status, circumstance)
]


def life(status: str, circumstance: Circumstance) -> tuple[Subscription, list[Term]]:
    """Return a subscription in that status and circumstance, with its terms."""
    never = circumstance in {C.NEVER_PAID, C.FIRST_PROCESSING} or (
        circumstance is C.ENDED_HERE and status.startswith("incomplete")
    )
    reason = PauseReason.FIRST_PAYMENT_FAILURE if circumstance is C.PAUSED_UNPAID else PauseReason.PAUSE_REQUESTED
    subscription = replace(
        SUBSCRIPTION,
        status=status,
        access_ended_at=CUT_AT if circumstance is C.ENDED_HERE else None,
        ended_at=CUT_AT if status in OVER else None,
        collection_paused="void" if circumstance is C.NOT_COLLECTED else None,
        cancel_at=END if circumstance is C.ENDS else None,
        renewal=RENEWALS.get(circumstance),
        pause=Pause(reason=reason, since=CUT_AT, credited=circumstance is C.PAUSED_CREDITED)
        if circumstance in NOT_PAUSED
        else None,
    )
    term = replace(TERM, refunded_as="guarantee" if circumstance is C.REFUNDED else None)
    return subscription, [] if never else [term]


def open_until(subscription: Subscription, terms: list[Term]) -> object:
    """Return the end of access to the archive, found day by day, or None without access."""
    access = combine_grants(grants_of(subscription, terms, CATALOGUE, POLICY), [])
    days = [START + timedelta(days=n) for n in range(500)]
    allowed = [day for day in days if decide(access, "archive", CATALOGUE, now=day).allowed]
    return max(period.until for period in access.features["archive"]) if allowed else None


def test_every_state_and_circumstance_has_a_cell() -> None:
    assert set(TABLE) == set(STATES) == set(EXPECTED)
    assert all(list(row) == list(Circumstance) for row in TABLE.values())


@pytest.mark.parametrize(("status", "circumstance"), CELLS)
def test_a_cell_grants_the_documented_access_or_is_reported(
    status: SubscriptionStatus, circumstance: Circumstance
) -> None:
    subscription, terms = life(status, circumstance)

    found = classify(subscription, terms)

    assert found.circumstance is circumstance
    if circumstance in EXPECTED[status]:
        assert found.anomaly is None
        assert open_until(subscription, terms) == EXPECTED[status][circumstance]
    else:
        assert found.anomaly is not None
        assert found.anomaly[0] == "impossible_state"
        paid = [term.ends_at for term in terms if term.refunded_as is None]
        assert found.cell.access is AccessRule.TERM
        most = min(paid[0], CUT_AT) if paid and status in OVER else paid[0] if paid else None
        assert open_until(subscription, terms) == most, "the paid term and nothing beyond"


@pytest.mark.parametrize(
    "cell",
    {
        one: None
        for row in TABLE.values()
        for cell in row.values()
        if isinstance(cell, Cell)
        for one in (cell, cell.after)
        if one is not None
    },
    ids=lambda cell: cell.code,
)
def test_each_cell_is_shown_to_staff_with_its_source(cell: Cell) -> None:
    assert cell.staff.endswith(".")
    assert cell.source
    assert not cell.reader or cell.reader.endswith(".")
    assert cell.action is None or cell.reader, "a reader who must act is told what to do"


@pytest.mark.parametrize("circumstance", [c for c in Circumstance if c not in {C.ENDED_HERE, *NOT_PAUSED}])
def test_an_unknown_state_grants_paid_terms_and_is_reported(circumstance: Circumstance) -> None:
    subscription, terms = life("hibernating", circumstance)

    assert classify(subscription, terms).anomaly == (
        "unknown_state",
        f"hibernating, {circumstance.value}: this release doesn't know the status",
    )
    unpaid = {C.NEVER_PAID, C.FIRST_PROCESSING, C.REFUNDED}
    assert open_until(subscription, terms) == (END if circumstance not in unpaid else None)


@pytest.mark.parametrize("status", sorted(OVER))
def test_an_ended_subscription_without_an_end_time_is_reported(status: str) -> None:
    subscription, terms = life(status, C.NEVER_PAID)

    assert classify(replace(subscription, ended_at=None), terms).anomaly is not None


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


@given(
    st.sampled_from([*STATES, "hibernating"]),
    st.sampled_from([c for c in Circumstance if c not in NOT_PAUSED]),
    st.integers(0, 500),
)
def test_unpaid_access_ends_unless_a_payment_is_processing(status: str, circumstance: Circumstance, day: int) -> None:
    subscription, terms = life(status, circumstance)
    access = combine_grants(grants_of(subscription, terms, CATALOGUE, POLICY), [])
    answer = decide(access, "archive", CATALOGUE, now=START + timedelta(days=day))

    if answer.allowed:
        assert any(term.refunded_as is None for term in terms)
    if answer.allowed and circumstance is not C.PROCESSING:
        due = DUE if circumstance is C.SENT else END
        assert START + timedelta(days=day) < due + max(POLICY.grace_period, POLICY.renewal_allowance)


def test_the_documentation_page_is_up_to_date() -> None:
    assert (Path(__file__).parents[2] / "docs/concepts/subscription-states.md").read_text() == page(), "make reference"
