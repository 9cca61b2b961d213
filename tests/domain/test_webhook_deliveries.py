"""Deliveries of events: when they are tried again, and which are replayed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.webhook_deliveries import (
    LONGEST_WAIT,
    RETRIED_FOR,
    EndpointResponse,
    InvalidReplay,
    Replay,
    next_delay,
    wait_asked_for,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@given(jitter=st.floats(0, 1))
def test_a_delivery_is_tried_for_three_days_and_then_given_up(jitter: float) -> None:
    at, attempts, delays = NOW, 1, []
    while (delay := next_delay(attempts, first_tried_at=NOW, now=at, jitter=jitter)) is not None:
        delays.append(delay)
        at, attempts = at + delay, attempts + 1

    assert at == NOW + RETRIED_FOR
    assert 10 <= attempts <= 15
    assert delays[0] <= timedelta(seconds=6)  # a moment of trouble costs little
    assert delays[:-1] == sorted(delays[:-1])


@pytest.mark.parametrize(
    ("status", "is_success"), [(200, True), (204, True), (199, False), (301, False), (404, False), (503, False)]
)
def test_only_a_2xx_response_counts_as_received(status: int, *, is_success: bool) -> None:
    assert EndpointResponse(status, None, "", timedelta()).is_success is is_success


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        pytest.param(503, "120", timedelta(minutes=2), id="seconds"),
        pytest.param(429, " 7 ", timedelta(seconds=7), id="too many requests"),
        pytest.param(503, "Sun, 01 Mar 2026 00:10:00 GMT", timedelta(minutes=10), id="date"),
        pytest.param(503, "Sun, 01 Mar 2026 00:10:00 -0000", timedelta(minutes=10), id="date without a zone"),
        pytest.param(503, "Sat, 28 Feb 2026 00:00:00 GMT", timedelta(0), id="date that has passed"),
        pytest.param(503, "9" * 5000, LONGEST_WAIT, id="too long"),
        pytest.param(503, "Tue, 01 Mar 2036 00:00:00 GMT", LONGEST_WAIT, id="date too far away"),
        pytest.param(503, "soon", None, id="unknown form"),
        pytest.param(503, "Mon, 01 Jan 2024 00:00:00 +" + "9" * 20, None, id="endless zone"),
        pytest.param(503, f"Mon, {'9' * 20} Jan 2024 00:00:00 GMT", None, id="endless day"),
        pytest.param(503, f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", None, id="endless year"),
        pytest.param(503, "Mon, 01 Jan 0001 00:00:00 +2359", timedelta(0), id="before the first year"),
        pytest.param(503, "-5", None, id="negative"),
        pytest.param(503, "٣", None, id="other digits"),
        pytest.param(503, None, None, id="not asked for"),
        pytest.param(500, "120", None, id="another status"),
    ],
)
def test_a_receiver_can_ask_to_wait_for_at_most_an_hour(
    status: int, header: str | None, expected: timedelta | None
) -> None:
    assert wait_asked_for(status, header, now=NOW) == expected


def test_what_a_receiver_asks_for_makes_a_delay_longer_but_never_shorter() -> None:
    first = next_delay(1, first_tried_at=NOW, now=NOW, jitter=0, asked=timedelta(minutes=2))
    third = next_delay(3, first_tried_at=NOW, now=NOW, jitter=0, asked=timedelta(seconds=1))
    last = next_delay(1, first_tried_at=NOW - RETRIED_FOR, now=NOW - timedelta(seconds=9), jitter=0, asked=LONGEST_WAIT)

    assert (first, third, last) == (timedelta(minutes=2), timedelta(minutes=5), timedelta(seconds=9))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"event_id": "obx_1", "since": NOW},
        {"event_id": "obx_1", "types": ["copy.mailed"]},
        {"since": NOW, "until": NOW},
    ],
)
def test_a_replay_names_one_event_or_a_period(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidReplay):
        Replay(**wrong)  # type: ignore[arg-type]
