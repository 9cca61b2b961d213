"""A background task that ends unexpectedly is started again: it never goes missing silently."""

import asyncio

import pytest

from app.main import keep_running
from tests.support.timeouts import TIMEOUT


@pytest.mark.parametrize("error", [None, ValueError("a bug"), AttributeError("of a closed connection")])
async def test_a_task_that_ends_is_started_again_until_it_is_canceled(error: Exception | None) -> None:
    starts: asyncio.Queue[int] = asyncio.Queue()

    async def run() -> None:
        starts.put_nowait(1)
        if error is not None:
            raise error

    task = asyncio.create_task(keep_running(run, name="test"))
    async with asyncio.timeout(TIMEOUT):
        await starts.get()
        await starts.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
