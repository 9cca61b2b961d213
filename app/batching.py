"""
Run an operation on many items together.

A commit costs a disk flush, however many rows it contains, and a statement costs a round trip to the server. Items that are
submitted while a batch is running are collected for the next one, so batches grow with the load and a single item never
waits for others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_ITEMS = 100  # in one batch, unless items have a size


class Batcher(Generic[Item, Result]):
    """
    Collects items and passes them to ``run`` in batches, first in, first out.

    ``run`` returns the results of the batch in the order of its items. It may return fewer results than there are items:
    the remaining items are put back at the head of the queue.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        concurrency: int = 1,
        size: Callable[[Item], int] | None = None,
        max_size: int = MAX_ITEMS,
        retry_singly: tuple[type[Exception], ...] = (),
    ) -> None:
        """
        Set the limits of a batch.

        :param concurrency: the number of batches that may run at the same time.
        :param size: returns the size of an item; each counts as 1 without it.
        :param max_size: a batch is full when the sizes of its items add up to this.
        :param retry_singly: errors that a single item can cause. After one of them the items of the batch are run one by
            one, so that only the faulty item fails. After any other error the whole batch fails.
        """
        self._run, self._concurrency = run, concurrency
        self._size, self._max_size = size, max_size
        self._retry_singly = retry_singly
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """Queue an item. The future holds its result, or the error that ``run`` raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if len(self._tasks) < self._concurrency:
            self._tasks.add(asyncio.create_task(self._work()))
        return future

    async def drain(self) -> None:
        """Wait until all submitted items are done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self) -> None:
        try:
            while batch := self._next_batch():
                await self._run_batch(batch)
        finally:  # without an await after the last check of the queue, or an item submitted in between would be left there
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_batch(self) -> "list[tuple[Item, asyncio.Future[Result]]]":
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        size = 0
        while self._queue and size < self._max_size:
            item, future = self._queue.popleft()
            if not future.done():  # the caller was canceled
                batch.append((item, future))
                size += 1 if self._size is None else self._size(item)
        return batch

    async def _run_batch(self, batch: "Sequence[tuple[Item, asyncio.Future[Result]]]") -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except self._retry_singly as error:
            if len(batch) > 1:
                for single in batch:
                    await self._run_batch([single])
            else:
                _fail(batch, error)
        except Exception as error:
            _fail(batch, error)
        except BaseException:  # this task was canceled
            for _, future in batch:
                future.cancel()
            raise
        else:
            self._settle(batch, results)

    def _settle(self, batch: "Sequence[tuple[Item, asyncio.Future[Result]]]", results: Sequence[Result]) -> None:
        for (_, future), result in zip(batch, results, strict=False):
            if not future.done():
                future.set_result(result)
        if len(results) < len(batch):
            self._queue.extendleft(reversed(batch[len(results) :]))


def _fail(batch: "Sequence[tuple[Item, asyncio.Future[Result]]]", error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
