"""Syncing a backlog: listing all subscriptions, or fetching each one."""

import pytest

from app.domain.events import should_list


@pytest.mark.parametrize(
    ("waiting", "known", "better"),
    [
        pytest.param(500, 0, False, id="below the threshold"),
        pytest.param(501, 600, True, id="nearly all subscriptions"),
        pytest.param(2_000, 1_000_000, False, id="a few of many: pages would be mostly unused"),
        pytest.param(20_000, 1_000_000, True, id="more than one in a hundred"),
        pytest.param(3_000, 0, True, id="unknown total"),
    ],
)
def test_a_backlog_is_listed_if_that_needs_fewer_calls(waiting: int, known: int, better: bool) -> None:
    assert should_list(waiting, known, above=500) is better
