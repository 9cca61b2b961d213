"""Previews of cancellations: the end of the subscription and of access."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.cancellations import EndPreview, ended_since, preview_period_end
from app.domain.refunds import RefundBasis
from app.domain.subscriptions import Subscription, Term
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import PAYMENT, REFUND

BEGAN, YEAR, RUNS, PAID = START, END, SUBSCRIPTION, TERM
DAY = timedelta(days=1)
GIVEN_BACK = replace(PAID, refunded_as="goodwill")


EARLY, TRIED, LATER = BEGAN + 9 * DAY, BEGAN + 14 * DAY, YEAR + 365 * DAY
TRIAL = replace(RUNS, status="trialing", current_period_end=TRIED, trial_end=TRIED)


@pytest.mark.parametrize(
    ("subscription", "terms", "end"),
    [
        pytest.param(RUNS, [PAID], EndPreview(YEAR, YEAR), id="ends with its period and access does too"),
        pytest.param(replace(RUNS, cancel_at=EARLY), [PAID], EndPreview(EARLY, EARLY), id="an earlier end stays"),
        pytest.param(replace(RUNS, cancel_at=YEAR + DAY), [PAID], EndPreview(YEAR, YEAR), id="a later end is replaced"),
        pytest.param(
            replace(RUNS, current_period_end=LATER),
            [PAID],
            EndPreview(LATER, YEAR),
            id="an unpaid period grants no access",
        ),
        pytest.param(RUNS, [GIVEN_BACK], EndPreview(YEAR, None), id="a refunded term grants no access"),
        pytest.param(TRIAL, [], EndPreview(TRIED, TRIED), id="a trial grants access to its end"),
        pytest.param(replace(RUNS, current_period_end=None), [], EndPreview(None, None), id="no terms yet"),
    ],
)
def test_a_canceled_subscription_ends_with_the_paid_term(
    subscription: Subscription, terms: list[Term], end: EndPreview
) -> None:
    assert preview_period_end(subscription, terms) == end


def test_a_payment_refunded_manually_in_parts_grants_nothing_afterwards() -> None:
    """A renewal that was paid between two partial refunds still grants access."""
    payment = replace(PAYMENT, invoice_id=PAID.invoice_id, amount=49_00)
    ended = replace(RUNS, status="canceled", ended_at=YEAR)
    parts = [
        replace(REFUND, id=f"rfd_{n}", basis=basis, amount=amount, created_at=at, made_at=at)
        for n, (basis, amount, at) in enumerate(
            [
                (RefundBasis.GOODWILL, 5_00, BEGAN),
                (RefundBasis.DASHBOARD, 9_00, BEGAN + DAY),
                (RefundBasis.DASHBOARD, 35_00, BEGAN + 9 * DAY),
            ]
        )
    ]

    assert ended_since(ended, [replace(PAID, refunded_as=RefundBasis.DASHBOARD)], [payment], parts) == BEGAN + 9 * DAY
    assert ended_since(ended, [PAID], [payment], parts[:2]) == YEAR
