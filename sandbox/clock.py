"""The only reader of real time in the sandbox. A test clock's time is kept by `sandbox.store.accounts.scheduler`."""

import asyncio
import time


def now() -> int:
    """Return real time in whole seconds since the epoch, as Stripe counts."""
    return int(time.time())


def precise() -> float:
    """Return real time in seconds since the epoch, with its fraction."""
    return time.time()


async def sleep(seconds: float) -> None:
    """Wait for so many seconds of real time."""
    await asyncio.sleep(seconds)
