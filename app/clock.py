"""
The only reader of the time; everything else is told it as ``now``.

There are two times. *Policy* time decides about terms, guarantees and access; it follows a Stripe test clock when
``NEWSSTAND_CLOCK_URL`` is set, so that a year can be wound through in a test. *Real* time is for tokens, signatures and
time-outs, which another machine measures too. Leases and due times use the database's clock, never this one.
"""

from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import structlog

log = structlog.get_logger()


class Clock(Protocol):
    """Where the time comes from."""

    def real(self) -> datetime:
        """Return the time of the wall clock, UTC."""

    def at_hand(self) -> datetime | None:
        """Return policy time if nobody has to be asked for it. Questions come by the million."""

    async def policy(self) -> datetime:
        """Return the time by which terms, guarantees and access are judged, UTC."""

    async def close(self) -> None:
        """Give back what the clock holds."""


class SystemClock:
    """Policy time is real time."""

    def real(self) -> datetime:
        return datetime.now(UTC)

    def at_hand(self) -> datetime | None:
        return datetime.now(UTC)

    async def policy(self) -> datetime:
        return datetime.now(UTC)

    async def close(self) -> None:
        return None


class StripeTestClock(SystemClock):
    """Policy time is a Stripe test clock's ``frozen_time``. When it cannot be asked, the last answer stands."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._session: aiohttp.ClientSession | None = None
        self._last: datetime | None = None

    def at_hand(self) -> datetime | None:
        return None

    async def policy(self) -> datetime:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=5))
        try:
            async with self._session.get(self._url, raise_for_status=True) as reply:
                body = await reply.json()
            self._last = datetime.fromtimestamp(int(body["frozen_time"]), UTC)
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as failure:
            log.warning("test_clock_unreachable", error=type(failure).__name__)
        return self._last or self.real()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
