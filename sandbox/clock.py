"""The only reader of the system time. Test clocks keep their own time (`sandbox.resources.test_clocks`)."""

import asyncio
import time


def now() -> int:
    """Return the system time in whole seconds since the epoch, as Stripe counts."""
    return int(time.time())


def precise() -> float:
    """Return the system time in seconds since the epoch, with its fraction."""
    return time.time()


async def sleep(seconds: float) -> None:
    """Sleep for a number of seconds."""
    await asyncio.sleep(seconds)
