"""A worker holds no more after many events than after few."""

import pytest

from bench.memory import held
from bench.stage import Stage

ROOM = 16 * 1024  # kilobytes: what caches and the allocator may take meanwhile


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
def test_a_workers_memory_is_flat(events: int) -> None:
    with Stage(print) as stage:
        after = list(held(stage, events, print))

    assert after[-1] - after[1] < ROOM, after
