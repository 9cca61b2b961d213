"""A worker uses no more memory after many events than after a few."""

import pytest

from bench.environment import Environment
from bench.memory import resident_memory

MAX_GROWTH = 16 * 1024  # kilobytes, for caches and the allocator


@pytest.mark.slow
@pytest.mark.parametrize(
    "events",
    [
        pytest.param(1_800, id="1,800 events"),
        pytest.param(
            200_000,
            id="200,000 events",
            marks=[pytest.mark.soak, pytest.mark.timeout(1800)],
        ),
    ],
)
def test_memory_of_a_worker_is_flat(events: int) -> None:
    with Environment(print) as environment:
        after = list(resident_memory(environment, events, print))

    assert after[-1] - after[1] < MAX_GROWTH, after
