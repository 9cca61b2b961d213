"""Deliveries of events: when they are tried again, and which are replayed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.webhook_deliveries import RETRIED_FOR, Answer, InvalidReplay, Replay, next_delay

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
    assert Answer(status, None, "", timedelta()).is_success is is_success


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
