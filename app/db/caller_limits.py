"""
Limits on how often one caller may do something, shared by all processes: a token bucket for each limit and subject.

A bucket is a row of the same table as Stripe's (:mod:`app.db.engine.rate_buckets`). It holds as many tokens as are allowed
in its period, so that a burst is possible, and is filled evenly. A caller who was refused is remembered in the process
until the next token, so a flood of refused requests costs no queries. Times are the database's.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

import structlog
from cachetools import TLRUCache

from app.db.engine.pool import Pool
from app.db.engine.session import QUERY_TIMEOUT, with_timeout
from app.domain.caller_limits import Limit
from app.domain.errors import TooManyRequests
from app.setting_types import Rate

PREFIX = "caller:"
REMEMBERED = 10_000  # refused callers
PRUNED_AFTER = timedelta(days=1)  # the longest period of a rate: after it, the bucket is full

_LEVEL = "least($2::float8, b.tokens + $3::float8 * greatest(0, extract(epoch FROM clock_timestamp() - b.at))::float8)"
_TAKE = f"""
INSERT INTO buckets AS b (name, tokens, at) VALUES ($1, $2::float8 - 1, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET tokens = {_LEVEL} - 1, at = clock_timestamp() WHERE {_LEVEL} >= 1
RETURNING 0::float8
"""  # noqa: S608 - constants
_WAIT = f"SELECT greatest(0, 1 - {_LEVEL}) / $3::float8 FROM buckets b WHERE name = $1"  # noqa: S608 - constants
_PRUNE = "DELETE FROM buckets WHERE name >= $1 AND name < $2 AND at < clock_timestamp() - $3::interval"
log = structlog.get_logger()


class CallerLimits:
    """The limits of all processes together."""

    def __init__(self, pool: Pool, rates: Mapping[Limit, Rate]) -> None:
        self._pool, self._rates = pool, rates
        self._refused: TLRUCache[str, float] = TLRUCache(REMEMBERED, ttu=lambda _, wait, now: now + wait)

    async def take(self, limit: Limit, subject: str) -> None:
        """
        Count one use by a subject: a person's ``sub`` or an address.

        While the database is unreachable nothing is limited: what is limited needs the database itself.

        :raises TooManyRequests: the subject has used up the limit.
        """
        rate = self._rates[limit]
        if not rate.number:
            return
        self.check(limit, subject)
        name = _name(limit, subject)
        arguments = name, float(rate.number), rate.number / rate.period.total_seconds()
        try:
            wait = await with_timeout(QUERY_TIMEOUT, self._take(*arguments))
        except Exception as error:  # also a standby, which refuses the write: a limit must not cause an outage
            log.warning("caller_limit_unknown", limit=limit, error=type(error).__name__)
            return
        if wait is not None:
            self._refused[name] = wait
            raise self._error(limit, wait)

    def check(self, limit: Limit, subject: str) -> None:
        """
        Check that a subject was not refused just now, without counting.

        :raises TooManyRequests: it was.
        """
        wait = self._refused.get(_name(limit, subject))
        if wait is not None:
            raise self._error(limit, wait)

    async def _take(self, name: str, size: float, rate: float) -> float | None:
        """Take a token. Return None, or if there is none the seconds until there is."""
        if await self._pool.fetchval(_TAKE, name, size, rate) is not None:
            return None
        wait = await self._pool.fetchval(_WAIT, name, size, rate)
        return float(wait or 0.0)

    async def prune(self) -> None:
        """Delete buckets that are full again."""
        await self._pool.execute(_PRUNE, PREFIX, PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1), PRUNED_AFTER)

    @staticmethod
    def _error(limit: Limit, wait: float) -> TooManyRequests:
        return TooManyRequests(
            "You have sent too many of these requests. Try again later.",
            retry_after=timedelta(seconds=max(wait, 1.0)),
            limit=limit,
        )


def _name(limit: Limit, subject: str) -> str:
    """Return the name of a bucket. It holds no personal data."""
    return f"{PREFIX}{limit}:{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()[:32]}"
