"""
The only module that reads the time. Everything else takes it as the parameter ``now``.

There are two times. *Policy* time is for terms, guarantees and access. It follows a Stripe test clock if
``NEWSSTAND_CLOCK_URL`` is set, so that a test can advance it by a year. *Real* time is for tokens, signatures and
time-outs, which other machines measure too. Leases and due times use the database's clock, never this one.
"""

from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import structlog

PATIENCE = 60.0  # seconds: after a test clock was advanced, an answer as of the earlier time would be wrong
log = structlog.get_logger()


class Clock(Protocol):
    """A source of the time."""

    def real(self) -> datetime:
        """Return the time of the wall clock, UTC."""

    def known_policy_time(self) -> datetime | None:
        """Return policy time if no request is needed for it, else None. Entitlement checks call this very often."""

    async def policy(self) -> datetime:
        """Return the policy time, UTC."""

    async def close(self) -> None:
        """Close the clock's connections."""


class SystemClock:
    """Policy time is real time."""

    def real(self) -> datetime:
        return datetime.now(UTC)

    def known_policy_time(self) -> datetime | None:
        return datetime.now(UTC)

    async def policy(self) -> datetime:
        return datetime.now(UTC)

    async def close(self) -> None:
        return None


class StripeTestClock(SystemClock):
    """Policy time is a Stripe test clock's ``frozen_time``. If the clock is unreachable, the last known time is used."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._session: aiohttp.ClientSession | None = None
        self._last: datetime | None = None

    def known_policy_time(self) -> datetime | None:
        return None

    async def policy(self) -> datetime:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=PATIENCE))
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
