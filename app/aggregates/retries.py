"""The retry loop of every use case that fetches from Stripe and saves what it fetched."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.domain.errors import ConcurrentUpdate

MAX_ATTEMPTS = 5
T = TypeVar("T")


async def retry_on_conflict(attempt: Callable[[], Awaitable[T]], *, what: str) -> T:
    """
    Run ``attempt`` until it has no conflict. It fetches, and saves if our copy has not changed since the fetch began.

    :param what: the object, for the error.
    :raises ConcurrentUpdate: every attempt had a conflict.
    """
    for _ in range(MAX_ATTEMPTS):
        try:
            return await attempt()
        except ConcurrentUpdate:
            continue
    raise ConcurrentUpdate(f"{what} kept changing while it was fetched")
