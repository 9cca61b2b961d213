"""What is announced: changes of a subscription's state, with everything a receiver needs, and nothing else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.entitlements import NO_ENTITLEMENTS, AccessPeriod, EntitlementSet
from app.domain.invoices import InvoiceStatus
from app.domain.outbox import (
    VERSIONS,
    OutboxReader,
    OutboxType,
    entitlements_changed,
    refund_result,
    subscription_ended,
    subscription_events,
)
from app.domain.refunds import Refund
from app.domain.renewals import PaymentStatus, Renewal
from app.domain.subscriptions import Subscription, Term
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import REFUND

ADA = OutboxReader("rdr_1", "ada")
NOW = START + timedelta(days=10)
NEXT = replace(TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=365))
FAILED = Renewal(invoice_id="in_2", status=InvoiceStatus.OPEN, starts_at=END, attempted=True)
INCOMPLETE = replace(SUBSCRIPTION, status="incomplete")
FIRST = replace(FAILED, invoice_id="in_1", starts_at=SUBSCRIPTION.created_at)
DEBITED = replace(SUBSCRIPTION, renewal=replace(FIRST, payment=PaymentStatus.PROCESSING))  # active, says Stripe
UNPAID = replace(SUBSCRIPTION, status="past_due", renewal=FIRST)
SENT = replace(FIRST, collection_method="send_invoice", due_at=END)
OVER = replace(SUBSCRIPTION, status="canceled", ended_at=NOW, end_reason="cancellation_requested")
ENDED_HERE = replace(SUBSCRIPTION, access_ended_at=NOW, ended_by="guarantee")


def announced(before: Subscription | None, after: Subscription, *opened: Term) -> list[str]:
    return [event.type.value for event in subscription_events(ADA, before, after, opened, now=NOW)]


@pytest.mark.parametrize(
    ("before", "after", "opened", "types"),
    [
        pytest.param(None, SUBSCRIPTION, [TERM], ["subscription.started"], id="a paid checkout"),
        pytest.param(None, replace(SUBSCRIPTION, status="trialing"), [], ["subscription.started"], id="a trial"),
        pytest.param(None, INCOMPLETE, [], [], id="not paid yet"),
        pytest.param(INCOMPLETE, SUBSCRIPTION, [TERM], ["subscription.started"], id="paid at last"),
        pytest.param(INCOMPLETE, replace(INCOMPLETE, status="incomplete_expired", ended_at=NOW), [], [], id="never paid"),
        pytest.param(None, DEBITED, [], [], id="the first bank debit is processing"),
        pytest.param(DEBITED, SUBSCRIPTION, [TERM], ["subscription.started"], id="the first bank debit is paid"),
        pytest.param(DEBITED, UNPAID, [], [], id="the first bank debit failed"),
        pytest.param(UNPAID, SUBSCRIPTION, [TERM], ["subscription.started"], id="paid after the first bank debit failed"),
        pytest.param(UNPAID, OVER, [], [], id="never paid by bank debit"),
        pytest.param(
            None, replace(SUBSCRIPTION, renewal=SENT), [], ["subscription.started"], id="the first invoice was sent by mail"
        ),
        pytest.param(None, replace(SUBSCRIPTION, followed_since=NOW), [TERM], [], id="an import"),
        pytest.param(None, OVER, [TERM], [], id="over when it was first seen"),
        pytest.param(SUBSCRIPTION, SUBSCRIPTION, [], [], id="nothing changed"),
        pytest.param(SUBSCRIPTION, SUBSCRIPTION, [NEXT], ["subscription.renewed"], id="renewed"),
        pytest.param(SUBSCRIPTION, SUBSCRIPTION, [replace(TERM, ends_at=NOW)], [], id="an old invoice is found"),
        pytest.param(
            SUBSCRIPTION, replace(SUBSCRIPTION, cancel_at=END), [], ["subscription.cancel_scheduled"], id="canceled"
        ),
        pytest.param(
            replace(SUBSCRIPTION, cancel_at=END), SUBSCRIPTION, [], ["subscription.cancel_undone"], id="resumed"
        ),
        pytest.param(SUBSCRIPTION, OVER, [], ["subscription.ended"], id="ended by Stripe"),
        pytest.param(OVER, OVER, [], [], id="ended long ago"),
        pytest.param(ENDED_HERE, replace(OVER, access_ended_at=NOW), [], [], id="ended by us before"),
        pytest.param(
            SUBSCRIPTION, replace(SUBSCRIPTION, renewal=FAILED), [], ["subscription.payment_failed"], id="payment failed"
        ),
        pytest.param(
            replace(SUBSCRIPTION, renewal=FAILED), replace(SUBSCRIPTION, status="past_due", renewal=FAILED), [], [],
            id="the same payment failed again",
        ),
        pytest.param(
            replace(SUBSCRIPTION, status="past_due", renewal=FAILED), SUBSCRIPTION, [NEXT], ["subscription.renewed"],
            id="paid after a failure",
        ),
        pytest.param(
            SUBSCRIPTION, replace(SUBSCRIPTION, status="paused"), [], ["subscription.paused"], id="paused"
        ),
        pytest.param(
            replace(SUBSCRIPTION, collection_paused="void"), SUBSCRIPTION, [], ["subscription.resumed"], id="collected again"
        ),
    ],
)  # fmt: skip
def test_what_a_sync_announces(
    before: Subscription | None, after: Subscription, opened: list[Term], types: list[str]
) -> None:
    assert announced(before, after, *opened) == types


def test_an_event_has_the_whole_state_after_the_change() -> None:
    (event,) = subscription_events(ADA, SUBSCRIPTION, replace(SUBSCRIPTION, cancel_at=END), [], now=NOW)

    assert event.data == {
        "subscription": {
            "id": "scr_1",
            "plan": "annual",
            "print_edition": False,
            "status": "active",
            "price": {"amount": 49_00, "currency": "usd"},
            "created_at": "2026-03-01T00:00:00Z",
            "current_period_start": "2026-03-01T00:00:00Z",
            "current_period_end": "2027-03-01T00:00:00Z",
            "trial_end": None,
            "cancel_at": "2027-03-01T00:00:00Z",
            "ended_at": None,
        },
        "ends_at": "2027-03-01T00:00:00Z",
    }


def test_a_payment_that_the_bank_wants_confirmed_says_so() -> None:
    asking = replace(FAILED, payment=PaymentStatus.REQUIRES_ACTION)
    (event,) = subscription_events(ADA, SUBSCRIPTION, replace(SUBSCRIPTION, renewal=asking), [], now=NOW)

    assert (event.data["invoice"], event.data["action_required"]) == ("in_2", True)


@pytest.mark.parametrize(
    ("before", "count"),
    [
        pytest.param(SUBSCRIPTION, 1, id="running"),
        pytest.param(INCOMPLETE, 0, id="never started"),
        pytest.param(OVER, 0, id="over already"),
    ],
)
def test_only_a_running_subscription_is_announced_as_ended(before: Subscription, count: int) -> None:
    events = subscription_ended(ADA, before, replace(before, access_ended_at=NOW, ended_by="guarantee"))

    assert [event.data["reason"] for event in events] == ["guarantee"] * count


def having(until: timedelta, reason: str = "paid_term", grant: str = "") -> EntitlementSet:
    return EntitlementSet(features={"archive": (AccessPeriod(START, NOW + until, reason, grant),)}, otherwise="ended")


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        pytest.param(NO_ENTITLEMENTS, having(timedelta(days=1)), 1, id="access begins"),
        pytest.param(having(timedelta(days=1)), having(timedelta(days=2)), 1, id="access lasts longer"),
        pytest.param(having(timedelta(days=1), grant="a"), having(timedelta(days=1), grant="b"), 0, id="another grant"),
        pytest.param(having(-timedelta(days=1)), replace(having(timedelta()), features={}), 0, id="only the past"),
    ],
)
def test_entitlements_are_announced_if_they_change_from_now_on(
    before: EntitlementSet, after: EntitlementSet, count: int
) -> None:
    assert len(entitlements_changed(ADA, before, after, now=NOW)) == count


def test_changed_entitlements_are_announced_whole_before_and_after() -> None:
    (event,) = entitlements_changed(ADA, NO_ENTITLEMENTS, having(timedelta(days=1)), now=NOW)

    assert event.data == {
        "before": {"features": {}, "otherwise": "never_subscribed"},
        "after": {
            "features": {
                "archive": [
                    {"starts_at": "2026-03-01T00:00:00Z", "until": "2026-03-12T00:00:00Z", "reason": "paid_term"}
                ]
            },
            "otherwise": "ended",
        },
    }


@given(days=st.lists(st.integers(-400, 400), max_size=5), otherwise=st.sampled_from(["ended", "refunded"]))
def test_entitlements_that_did_not_change_announce_nothing(days: list[int], otherwise: str) -> None:
    periods = tuple(AccessPeriod(START, NOW + timedelta(days=one), "paid_term") for one in days)
    same = EntitlementSet(features={"archive": periods}, otherwise=otherwise)

    assert entitlements_changed(ADA, same, same, now=NOW) == []


def test_entitlements_of_a_reader_who_is_not_claimed_are_not_announced() -> None:
    unknown = OutboxReader.of("rdr_1", "unclaimed:cus_1")

    assert unknown.sub is None
    assert entitlements_changed(unknown, NO_ENTITLEMENTS, having(timedelta(days=1)), now=NOW) == []


@pytest.mark.parametrize(
    ("refund", "types"),
    [
        pytest.param(replace(REFUND, status="succeeded"), ["refund.succeeded"], id="paid"),
        pytest.param(replace(REFUND, status="pending"), [], id="on its way"),
        pytest.param(replace(REFUND, status="failed"), ["refund.failed"], id="failed"),
        pytest.param(replace(REFUND, status="canceled"), ["refund.failed"], id="canceled"),
        pytest.param(replace(REFUND, status="succeeded", is_history=True), [], id="before we followed it"),
    ],
)
def test_a_refund_is_announced_when_it_is_decided(refund: Refund, types: list[str]) -> None:
    assert [event.type.value for event in refund_result(ADA, refund)] == types


def test_every_type_has_a_version() -> None:
    assert set(VERSIONS) == set(OutboxType)
