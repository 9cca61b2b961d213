"""A change of print that is refused or fails says why, and what became of the money."""

from dataclasses import replace

import pytest

from app.domain.print_changes import NoPaidTerm, PrintPaymentFailed
from app.domain.print_quotes import quote_addition
from tests.domain.test_print_changes import CASE
from tests.domain.test_subscriptions import START


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        pytest.param("card_declined", "Update your card and try again", id="declined"),
        pytest.param("payment_expired", "The payment was not confirmed in time, so nothing was changed", id="expired"),
        pytest.param("subscription_ended", "If the payment succeeded, it is refunded", id="ended meanwhile"),
    ],
)
def test_a_failed_addition_says_what_became_of_the_payment(reason: str, sentence: str) -> None:
    failed = PrintPaymentFailed(reason=reason)

    assert sentence in str(failed)
    assert failed.facts["stripe_code"] == reason


def test_a_change_that_a_schedule_prevents_says_so() -> None:
    refusal = quote_addition(replace(CASE, is_scheduled=True), None, now=START).refusal

    assert isinstance(refusal, NoPaidTerm)
    assert "A schedule at Stripe manages the subscription" in str(refusal)
