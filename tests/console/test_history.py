"""The history on a reader's page."""

from datetime import UTC, datetime, timedelta

from app.console import history
from app.domain.history import HistoryEntry
from tests.support.wording import american

CHICAGO = american("America/Chicago")
NIGHT = datetime(2026, 3, 2, 5, 30, tzinfo=UTC)  # 11:30 PM on March 1 in Chicago


def entry(hours: int, kind: str, text: str) -> HistoryEntry:
    at = NIGHT + timedelta(hours=hours)
    return HistoryEntry(at=at, kind=kind, date=CHICAGO.date(at), text=text)


def test_newest_day_is_first_and_stripe_events_in_a_row_are_collapsed() -> None:
    days = history.days(
        [
            entry(0, "paid", "paid 49.00 USD"),
            entry(1, "told", "Stripe: an invoice was paid"),
            entry(2, "told", "Stripe: the subscription was updated"),
            entry(3, "noted", "robin extended the subscription"),
            entry(4, "told", "Stripe: an invoice was updated"),
        ]
    )
    assert [day.date for day in days] == ["March 2, 2026", "March 1, 2026"]
    assert [[len(group.entries) for group in day.groups] for day in days] == [[1, 1, 2], [1]]
    assert [group.is_collapsed for group in days[0].groups] == [True, False, True]
    assert [entry.text for entry in days[0].groups[2].entries] == [
        "The subscription was updated",
        "An invoice was paid",
    ]
    assert days[0].groups[0].entries[0].text == "An invoice was updated"
    assert days[0].groups[1].entries[0].text == "Robin extended the subscription"
    assert days[1].groups[0].entries[0].text == "Paid 49.00 USD"


def test_payments_and_notes_in_a_row_are_not_collapsed() -> None:
    days = history.days([entry(1, "noted", "one"), entry(1, "noted", "two")])
    assert [group.entries[0].text for group in days[0].groups] == ["Two", "One"]
    assert history.days([]) == []
