"""The history of a reader in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import events
from app.domain.history import EVENTS, LoggedAction, ReaderRecords, StripeEvent, describe_event, history_of
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import PAYMENT, REFUND
from tests.support.wording import american

NOON = datetime(2026, 3, 1, 18, tzinfo=UTC)
NOBODY = ReaderRecords(subscriptions=(), payments=(), refunds=(), disputes=(), comps=(), actions=(), stripe_events=())
PAID = StripeEvent(at=NOON, type="invoice.paid", state=events.EventState.APPLIED, why=None)


def words(story: ReaderRecords) -> list[str]:
    return [one.words for one in history_of(story, american("America/Chicago"))]


def test_every_used_event_type_has_a_description() -> None:
    assert set(EVENTS) >= set(events.TYPES)
    assert all("_" not in description and "." not in description for description in EVENTS.values())


@pytest.mark.parametrize(
    ("state", "why", "description", "kind"),
    [
        pytest.param(events.EventState.APPLIED, None, "Stripe: an invoice was paid", "told", id="applied"),
        pytest.param(
            events.EventState.RECEIVED,
            None,
            "Stripe: an invoice was paid, waiting to be applied",
            "told",
            id="new",
        ),
        pytest.param(
            events.EventState.IGNORED,
            "another mode",
            "Stripe: an invoice was paid, ignored: another mode",
            "told",
            id="ignored",
        ),
        pytest.param(
            events.EventState.FAILED,
            "Boom",
            "Stripe: an invoice was paid (invoice.paid), not applied yet: Boom",
            "waiting",
            id="failed",
        ),
        pytest.param(
            events.EventState.DEAD,
            None,
            "Stripe: an invoice was paid (invoice.paid), failed permanently",
            "waiting",
            id="dead",
        ),
    ],
)
def test_an_event_is_described_with_its_result(state: str, why: str | None, description: str, kind: str) -> None:
    story = replace(NOBODY, stripe_events=[replace(PAID, state=state, why=why)])
    (one,) = history_of(story, american("America/Chicago"))
    assert (one.words, one.kind) == (f"March 1, 2026: {description}", kind)


def test_events_are_sorted_by_time_among_other_entries() -> None:
    noted = LoggedAction(at=NOON + timedelta(hours=1), actor="staff:robin", action="subscription.resume", reason=None)
    later = replace(PAID, at=NOON + timedelta(hours=2), type="customer.subscription.updated")
    assert words(replace(NOBODY, stripe_events=[later, PAID], actions=[noted])) == [
        "March 1, 2026: Stripe: an invoice was paid",
        "March 1, 2026: staff member robin resumed the subscription",
        "March 1, 2026: Stripe: the subscription was updated",
    ]


@given(hours=st.lists(st.integers(0, 200), max_size=40), days=st.integers(1, 6))
def test_the_newest_days_are_the_end_of_the_whole_history(hours: list[int], days: int) -> None:
    story = replace(NOBODY, stripe_events=[replace(PAID, at=NOON + timedelta(hours=each)) for each in hours])
    whole = history_of(story, american("America/Chicago"))
    newest = sorted({one.at.astimezone(ZoneInfo("America/Chicago")).date() for one in whole})[-days:]
    shown = [one for one in whole if one.at.astimezone(ZoneInfo("America/Chicago")).date() in newest]

    assert history_of(story, american("America/Chicago"), days=days) == shown


def test_own_refetch_requests_and_unknown_types_are_described() -> None:
    assert describe_event("newsstand.subscription.sweep") == "checked with Stripe"
    assert describe_event("invoice.was_framed") == "Stripe: invoice was framed"


@pytest.mark.parametrize(
    ("reason", "description"),
    [
        pytest.param("requested_by_reader", "(requested by reader)", id="reason code"),
        pytest.param("other: Moves to Mars_1.", "(other: Moves to Mars_1.)", id="with a note"),
        pytest.param("my_own Words", "(my_own Words)", id="free text only"),
    ],
)
def test_a_reason_code_is_shown_in_words_and_a_note_unchanged(reason: str, description: str) -> None:
    noted = LoggedAction(at=NOON, actor="staff:robin", action="subscription.resume", reason=reason)
    assert words(replace(NOBODY, actions=[noted])) == [
        f"March 1, 2026: staff member robin resumed the subscription {description}"
    ]


def noted(action: str, actor: str, *, hour: int = 0, about: str = SUBSCRIPTION.id) -> LoggedAction:
    at = START + timedelta(hours=hour)
    return LoggedAction(at=at, actor=actor, action=f"subscription.{action}", reason=None, about=about)


ASKED, BACK, NOW_ = "cancel_at_period_end", "resume", "cancel_now"


@pytest.mark.parametrize(
    ("ended_by", "end_reason", "notes", "description"),
    [
        pytest.param(NOW_, None, [noted(NOW_, "reader:ada")], " (canceled immediately), by the reader", id="reader"),
        pytest.param(
            NOW_,
            None,
            [noted(NOW_, "staff:robin", about="scr_other"), noted(NOW_, "staff:kim")],
            " (canceled immediately), by staff member kim",
            id="staff",
        ),
        pytest.param(
            None,
            "cancellation_requested",
            [noted(ASKED, "staff:robin"), noted(BACK, "reader:ada", hour=1), noted(ASKED, "reader:ada", hour=2)],
            " (canceled), by the reader",
            id="at the end of the term",
        ),
        pytest.param(
            None,
            "cancellation_requested",
            [noted(ASKED, "reader:ada"), noted(BACK, "reader:ada", hour=1)],
            " (canceled)",
            id="resumed here and canceled at Stripe",
        ),
        pytest.param(
            None, "payment_failed", [noted(ASKED, "reader:ada")], " (renewal not paid)", id="renewal not paid"
        ),
        pytest.param("duplicate", None, [], " (duplicate), by policy", id="duplicate"),
        pytest.param("dispute_lost", None, [], " (dispute lost), by policy", id="dispute"),
    ],
)
def test_an_end_is_described_with_its_reason_and_actor(
    ended_by: str | None, end_reason: str | None, notes: list[LoggedAction], description: str
) -> None:
    subscription = replace(SUBSCRIPTION, status="canceled", ended_at=END, ended_by=ended_by, end_reason=end_reason)
    story = replace(NOBODY, subscriptions=[(subscription, ())], actions=notes)

    ended = [one.words for one in history_of(story, american("America/Chicago")) if one.kind == "ended"]

    assert ended == [f"February 28, 2027: the subscription ended{description}"]


def test_an_end_by_a_refund_names_the_person_who_requested_it() -> None:
    subscription = replace(SUBSCRIPTION, status="canceled", ended_at=END, ended_by="guarantee")
    refund = replace(REFUND, requested_by="staff:robin", created_at=END)
    story = replace(NOBODY, subscriptions=[(subscription, [TERM])], payments=[PAYMENT], refunds=[refund])

    (ended,) = [one.words for one in history_of(story, american("America/Chicago")) if one.kind == "ended"]

    assert ended == "February 28, 2027: the subscription ended (guarantee), by staff member robin"
