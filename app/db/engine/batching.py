"""
Doing for many at once what each asks for by itself: whoever comes while it is being done for others is in the next lot.

A commit costs a wait for the disk, however much is in it, and a statement its way to the server and back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 100  # in one lot


class Batcher(Generic[T]):
    """Gathers; one lot at a time. When a lot fails, each of it is done by itself, so that no failure is another's."""

    def __init__(self, do: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._do = do
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._doing: asyncio.Task[None] | None = None

    async def add(self, one: T) -> None:
        """Return when it is done for ``one``; raise what went wrong for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        if self._doing is None or self._doing.done():
            self._doing = asyncio.create_task(self._all())
        await done

    async def _all(self) -> None:
        while self._waiting:
            lot, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._lot(lot)

    async def _lot(self, lot: Sequence[tuple[T, "asyncio.Future[None]"]]) -> None:
        try:
            await self._do([one for one, _ in lot])
        except Exception as failure:
            if len(lot) > 1:
                for single in lot:
                    await self._lot([single])
            elif not lot[0][1].done():
                lot[0][1].set_exception(failure)
        else:
            for _, done in lot:
                if not done.done():
                    done.set_result(None)
