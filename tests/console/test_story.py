"""A reader's story, as their page tells it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.console import history
from app.domain.history import Happening

CHICAGO = ZoneInfo("America/Chicago")
NIGHT = datetime(2026, 3, 2, 5, 30, tzinfo=UTC)  # half past eleven on the first of March, there


def happened(hours: int, kind: str, words: str) -> Happening:
    at = NIGHT + timedelta(hours=hours)
    return Happening(at=at, kind=kind, words=f"{at.astimezone(CHICAGO).day} March 2026: {words}")


def test_the_newest_day_stands_first_and_what_stripe_told_in_a_row_is_put_together() -> None:
    told = history.days(
        [
            happened(0, "paid", "paid 49.00 USD: all of it"),
            happened(1, "told", "Stripe told us: an invoice was paid"),
            happened(2, "told", "Stripe told us: the subscription changed"),
            happened(3, "noted", "robin of the staff extended the subscription"),
            happened(4, "told", "Stripe told us: an invoice changed"),
        ],
        CHICAGO,
    )
    assert [day.name for day in told] == ["2 March 2026", "1 March 2026"]
    assert [[len(stretch.lines) for stretch in day.stretches] for day in told] == [[1, 1, 2], [1]]
    assert [stretch.folded for stretch in told[0].stretches] == [False, False, True]
    assert told[0].stretches[1].lines[0].words == "Robin of the staff extended the subscription"
    assert told[1].stretches[0].lines[0].words == "Paid 49.00 USD: all of it"


def test_two_payments_or_notes_in_a_row_are_two_lines() -> None:
    told = history.days([happened(1, "noted", "one"), happened(1, "noted", "two")], CHICAGO)
    assert [stretch.lines[0].words for stretch in told[0].stretches] == ["Two", "One"]
    assert history.days([], CHICAGO) == []
