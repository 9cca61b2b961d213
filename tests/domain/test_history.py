"""The story of a reader, in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain import events
from app.domain.history import EVENTS, Noted, Story, Told, told, what_of
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import PAYMENT, REFUND

NOON = datetime(2026, 3, 1, 18, tzinfo=UTC)
NOBODY = Story(subscriptions=(), payments=(), refunds=(), disputes=(), comps=(), notes=(), told=())
PAID = Told(at=NOON, type="invoice.paid", state=events.APPLIED, why=None)


def words(story: Story) -> list[str]:
    return [one.words for one in told(story, ZoneInfo("America/Chicago"))]


def test_everything_that_we_listen_for_has_words_of_its_own() -> None:
    assert set(EVENTS) >= set(events.TYPES)
    assert all("_" not in said and "." not in said for said in EVENTS.values())


@pytest.mark.parametrize(
    ("state", "why", "said", "kind"),
    [
        pytest.param(events.APPLIED, None, "Stripe told us: an invoice was paid", "told", id="applied"),
        pytest.param(
            events.RECEIVED,
            None,
            "Stripe told us: an invoice was paid, and it is about to be applied",
            "told",
            id="new",
        ),
        pytest.param(
            events.IGNORED,
            "another mode",
            "Stripe told us: an invoice was paid, and nothing follows from it: another mode",
            "told",
            id="put aside",
        ),
        pytest.param(
            events.FAILED,
            "Boom",
            "Stripe told us: an invoice was paid (invoice.paid), and it could not be applied so far: Boom",
            "waiting",
            id="failed",
        ),
        pytest.param(
            events.DEAD,
            None,
            "Stripe told us: an invoice was paid (invoice.paid), and it was given up",
            "waiting",
            id="given up",
        ),
    ],
)
def test_a_webhook_is_told_with_what_became_of_it(state: str, why: str | None, said: str, kind: str) -> None:
    story = replace(NOBODY, told=[replace(PAID, state=state, why=why)])
    (one,) = told(story, ZoneInfo("America/Chicago"))
    assert (one.words, one.kind) == (f"1 March 2026: {said}", kind)


def test_what_was_told_stands_among_the_rest_by_its_time() -> None:
    noted = Noted(at=NOON + timedelta(hours=1), actor="staff:robin", action="subscription.resume", reason=None)
    later = replace(PAID, at=NOON + timedelta(hours=2), type="customer.subscription.updated")
    assert words(replace(NOBODY, told=[later, PAID], notes=[noted])) == [
        "1 March 2026: Stripe told us: an invoice was paid",
        "1 March 2026: robin of the staff had the subscription go on",
        "1 March 2026: Stripe told us: the subscription changed",
    ]


def test_a_knock_of_our_own_and_a_type_that_is_new_to_us_are_told_too() -> None:
    assert what_of("newsstand.subscription.sweep") == "Newsstand asked Stripe again by itself"
    assert what_of("invoice.was_framed") == "Stripe told us: invoice was framed"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        pytest.param("requested_by_reader", "(requested by reader)", id="of the list"),
        pytest.param("other: Moves to Mars_1.", "(other: Moves to Mars_1.)", id="with a note"),
        pytest.param("my_own Words", "(my_own Words)", id="their own words alone"),
    ],
)
def test_a_reason_of_the_list_is_said_in_words_and_a_note_as_it_is(reason: str, said: str) -> None:
    noted = Noted(at=NOON, actor="staff:robin", action="subscription.resume", reason=reason)
    assert words(replace(NOBODY, notes=[noted])) == [
        f"1 March 2026: robin of the staff had the subscription go on {said}"
    ]


def noted(action: str, actor: str, *, hour: int = 0, about: str = SUBSCRIPTION.id) -> Noted:
    at = START + timedelta(hours=hour)
    return Noted(at=at, actor=actor, action=f"subscription.{action}", reason=None, about=about)


ASKED, BACK, NOW_ = "cancel_at_period_end", "resume", "cancel_now"


@pytest.mark.parametrize(
    ("ended_by", "end_reason", "notes", "said"),
    [
        pytest.param(
            NOW_, None, [noted(NOW_, "reader:ada")], ", as it was cancelled at once, by the reader", id="reader"
        ),
        pytest.param(
            NOW_,
            None,
            [noted(NOW_, "staff:robin", about="scr_other"), noted(NOW_, "staff:kim")],
            ", as it was cancelled at once, by kim of the staff",
            id="staff",
        ),
        pytest.param(
            None,
            "cancellation_requested",
            [noted(ASKED, "staff:robin"), noted(BACK, "reader:ada", hour=1), noted(ASKED, "reader:ada", hour=2)],
            ", as it was cancelled, by the reader",
            id="with what was paid",
        ),
        pytest.param(
            None,
            "cancellation_requested",
            [noted(ASKED, "reader:ada"), noted(BACK, "reader:ada", hour=1)],
            ", as it was cancelled",
            id="taken back here, and cancelled at Stripe",
        ),
        pytest.param(
            None, "payment_failed", [noted(ASKED, "reader:ada")], ", as its renewal was not paid", id="never mended"
        ),
        pytest.param("duplicate", None, [], " (duplicate), by policy", id="a double"),
        pytest.param("dispute_lost", None, [], " (dispute lost), by policy", id="a dispute"),
    ],
)
def test_an_end_is_told_with_why_and_who(
    ended_by: str | None, end_reason: str | None, notes: list[Noted], said: str
) -> None:
    held = replace(SUBSCRIPTION, status="canceled", ended_at=END, ended_by=ended_by, end_reason=end_reason)
    story = replace(NOBODY, subscriptions=[(held, ())], notes=notes)

    ended = [one.words for one in told(story, ZoneInfo("America/Chicago")) if one.kind == "ended"]

    assert ended == [f"28 February 2027: the subscription ended{said}"]


def test_an_end_by_a_refund_is_told_with_who_asked_for_the_money() -> None:
    held = replace(SUBSCRIPTION, status="canceled", ended_at=END, ended_by="guarantee")
    refund = replace(REFUND, requested_by="staff:robin", created_at=END)
    story = replace(NOBODY, subscriptions=[(held, [TERM])], payments=[PAYMENT], refunds=[refund])

    (ended,) = [one.words for one in told(story, ZoneInfo("America/Chicago")) if one.kind == "ended"]

    assert ended == "28 February 2027: the subscription ended (guarantee), by robin of the staff"
