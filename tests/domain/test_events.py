"""When many subscriptions wait: listing all there are, or asking for each."""

import pytest

from app.domain.events import should_list


@pytest.mark.parametrize(
    ("waiting", "known", "better"),
    [
        pytest.param(500, 0, False, id="no more than is thought of"),
        pytest.param(501, 600, True, id="nearly all there are"),
        pytest.param(2_000, 1_000_000, False, id="a few of many: most of each page would be for nothing"),
        pytest.param(20_000, 1_000_000, True, id="more than one in a hundred"),
        pytest.param(3_000, 0, True, id="a first day, of which nothing is known"),
    ],
)
def test_a_backlog_is_listed_when_that_needs_fewer_calls(waiting: int, known: int, better: bool) -> None:
    assert should_list(waiting, known, above=500) is better
