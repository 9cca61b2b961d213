"""Which of a reader's subscriptions counts as theirs."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.current_subscription import HeldSubscription, current_subscription, pending_checkout
from tests.domain.test_reader_summary import END, RUNNING, START, TERM


def held(name: str, *, days: int = 0, paid: bool = True, **changes: Any) -> HeldSubscription:
    """Return a subscription created some days after the first one, with a term if it is paid."""
    subscription = replace(RUNNING, id=name, created_at=START + timedelta(days=days), **changes)
    return subscription, [replace(TERM, invoice_id=f"in_{name}")] if paid else []


PAID = held("paid")
LAPSED = held("lapsed", status="canceled", ended_at=END)
CANCELED_NOW = held("canceled", access_ended_at=START + timedelta(days=9), ended_by="cancel_now")
REFUNDED = held("refunded", status="canceled", ended_at=END, ended_by="guarantee")
DUPLICATE = held("duplicate", days=1, status="canceled", ended_at=END, ended_by="duplicate")
REPLACED = held("replaced", days=1, status="canceled", ended_at=END, ended_by="replaced", paid=False)
INCOMPLETE = held("incomplete", days=400, status="incomplete", paid=False)
EXPIRED = held("expired", days=400, status="incomplete_expired", ended_at=END, paid=False)
PAST_DUE = held("past_due", status="past_due")
UNPAID = held("unpaid", status="unpaid")
PAUSED = held("paused", status="paused")
TRIAL = held("trial", days=2, status="trialing", trial_end=END, paid=False)
NEWER = held("newer", days=500)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(PAID, DUPLICATE, id="live, beside a refunded duplicate"),
        pytest.param(CANCELED_NOW, DUPLICATE, id="ended, beside a refunded duplicate"),
        pytest.param(REFUNDED, DUPLICATE, id="refunded itself, beside a duplicate"),
        pytest.param(LAPSED, DUPLICATE, id="lapsed, beside a duplicate"),
        pytest.param(LAPSED, REPLACED, id="lapsed, beside an unpaid one that was replaced"),
        pytest.param(PAID, INCOMPLETE, id="live, beside an incomplete checkout"),
        pytest.param(CANCELED_NOW, INCOMPLETE, id="ended, beside an incomplete checkout"),
        pytest.param(LAPSED, EXPIRED, id="lapsed, beside an expired checkout"),
        pytest.param(PAUSED, held("ended", days=90, status="canceled", ended_at=END), id="can still resume"),
        pytest.param(UNPAID, INCOMPLETE, id="unpaid renewal, beside an incomplete checkout"),
        pytest.param(NEWER, PAST_DUE, id="a paid one, beside one whose renewal failed"),
        pytest.param(NEWER, LAPSED, id="the new one after an earlier one lapsed"),
        pytest.param(PAID, TRIAL, id="paid, beside a trial"),
        pytest.param(PAID, NEWER, id="of two live and paid ones the earlier, which stays"),
        pytest.param(
            held("late", days=50, status="canceled", ended_at=END), LAPSED, id="of two that are over the newer"
        ),
    ],
)
def test_the_subscription_that_was_paid_is_the_current_one(better: HeldSubscription, worse: HeldSubscription) -> None:
    assert current_subscription([better, worse]) == better
    assert current_subscription([worse, better]) == better


def test_the_choice_does_not_depend_on_the_order() -> None:
    many = [CANCELED_NOW, DUPLICATE, INCOMPLETE, UNPAID, TRIAL]
    assert {id(current_subscription(order)) for order in itertools.permutations(many)} == {id(TRIAL)}
    assert current_subscription([]) is None


def test_a_checkout_that_can_still_be_completed_is_found() -> None:
    assert pending_checkout([LAPSED, INCOMPLETE]) == INCOMPLETE
    assert pending_checkout([LAPSED, EXPIRED, PAID]) is None
    assert pending_checkout([(replace(INCOMPLETE[0], access_ended_at=START), [])]) is None
