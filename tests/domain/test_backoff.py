"""Retries wait longer each time, up to a maximum."""

from datetime import timedelta

import pytest

from app.domain.backoff import retry_delay


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 1, 2), (2, 2, 4), (5, 16, 32), (30, 450, 900)])
def test_delays_double_up_to_a_quarter_of_an_hour(attempts: int, least: int, most: int) -> None:
    assert retry_delay(attempts, jitter=0.0) == timedelta(seconds=least)
    assert retry_delay(attempts, jitter=1.0) == timedelta(seconds=most)


@pytest.mark.parametrize(("attempts", "delay"), [(1, 2), (4, 16), (30, 30)])
def test_an_outage_is_retried_every_half_minute_at_least(attempts: int, delay: int) -> None:
    assert retry_delay(attempts, jitter=1.0, outage=True) == timedelta(seconds=delay)
