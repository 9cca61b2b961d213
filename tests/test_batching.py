"""Batches: their order, their limits, and their errors."""

import asyncio
from collections.abc import Sequence

import pytest

from app.batching import Batcher


async def test_items_submitted_during_a_batch_go_into_the_next_one() -> None:
    batches: list[list[int]] = []

    async def run(batch: Sequence[int]) -> list[int]:
        batches.append(list(batch))
        await asyncio.sleep(0.01)
        return [n * n for n in batch]

    batcher = Batcher(run)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(10)))

    assert results == [n * n for n in range(10)]
    assert sorted(n for batch in batches for n in batch) == list(range(10))
    assert len(batches) <= 2


async def test_a_faulty_item_fails_alone_if_its_error_is_retried_singly() -> None:
    async def run(batch: Sequence[int]) -> list[int]:
        if 3 in batch:
            raise ValueError("not that one")
        return list(batch)

    batcher = Batcher(run, retry_singly=(ValueError,))
    results = await asyncio.gather(*(batcher.submit(n) for n in range(10)), return_exceptions=True)

    assert [n for n, result in enumerate(results) if isinstance(result, ValueError)] == [3]


async def test_any_other_error_fails_the_whole_batch() -> None:
    async def run(batch: Sequence[int]) -> list[int]:
        raise OSError("away")

    batcher = Batcher(run, retry_singly=(ValueError,))
    results = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)

    assert all(isinstance(result, OSError) for result in results)


async def test_items_without_a_result_are_run_again_in_their_order() -> None:
    batches: list[list[int]] = []

    async def run(batch: Sequence[int]) -> list[int]:
        batches.append(list(batch))
        return list(batch[:2])

    batcher = Batcher(run)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(5)))

    assert results == [0, 1, 2, 3, 4]
    assert batches == [[0, 1, 2, 3, 4], [2, 3, 4], [4]]


async def test_a_batch_is_full_when_the_sizes_of_its_items_add_up_to_the_limit() -> None:
    batches: list[list[str]] = []

    async def run(batch: Sequence[str]) -> list[None]:
        batches.append(list(batch))
        return [None] * len(batch)

    batcher = Batcher(run, size=len, max_size=4)
    await asyncio.gather(*(batcher.submit(text) for text in ("aa", "bb", "cccccc", "d")))

    assert batches == [["aa", "bb"], ["cccccc"], ["d"]]


async def test_an_item_whose_caller_was_canceled_is_not_run() -> None:
    batches: list[list[int]] = []

    async def run(batch: Sequence[int]) -> list[int]:
        batches.append(list(batch))
        return list(batch)

    batcher = Batcher(run)
    first, second = batcher.submit(1), batcher.submit(2)
    first.cancel()

    assert await second == 2
    assert batches == [[2]]


async def test_draining_waits_for_all_items() -> None:
    async def run(batch: Sequence[int]) -> list[int]:
        await asyncio.sleep(0.01)
        return list(batch)

    batcher = Batcher(run, concurrency=2, max_size=2)
    futures = [batcher.submit(n) for n in range(7)]
    await batcher.drain()

    assert [future.result() for future in futures] == list(range(7))


async def test_callers_of_a_canceled_batch_are_canceled() -> None:
    async def run(batch: Sequence[int]) -> list[int]:
        for task in asyncio.all_tasks():
            if task is not waiter:
                task.cancel()
        await asyncio.sleep(1)
        return list(batch)

    waiter = asyncio.current_task()
    with pytest.raises(asyncio.CancelledError):
        await Batcher(run).submit(1)
