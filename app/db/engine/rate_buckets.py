"""
Rate limits that all processes share, of Stripe and of the mail server: a token bucket for each endpoint and one for all, one
token for each call.

Both buckets of a call are locked and updated in one statement, in the order of their names. A process takes tokens for all
its waiting calls together, so there are at most as many writes as calls. Times are the database's. The table is UNLOGGED, so
its commits do not wait for the disk.

Numbers are sent as texts: asyncpg queries the catalog about other arrays at their first use on each connection, which takes
seconds behind a transaction pooler, because PostgreSQL compiles that query. After a failover all connections are new.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

ALL = "all"
# The part of a second's calls that may come in a burst. Stripe's own buckets hold a whole second's; the rest is left for
# calls that are delayed on the way and then arrive together.
BURST = 0.5
LEAST_WAIT = 0.01  # seconds
RESERVED = 0.4  # the part of a burst that is reserved for urgent calls

_TAKE = """
WITH asked AS (SELECT name, rate::float8, burst::float8, spare::float8
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS a (name, rate, burst, spare)),
     held AS (SELECT name, tokens, at FROM buckets WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE),
     clock AS (SELECT clock_timestamp() AS t, count(*) AS locked FROM held),
     level AS (
         SELECT name, rate, spare, t,
                CASE WHEN at > t THEN 0
                     ELSE least(burst, tokens + rate * extract(epoch FROM t - at)::float8) END AS tokens,
                greatest(0, extract(epoch FROM at - t)::float8) AS shut
         FROM held JOIN asked USING (name) CROSS JOIN clock),
     given AS (
         SELECT greatest(0, least($5::int, floor(min(CASE WHEN shut > 0 THEN 0 ELSE tokens - spare END))))::int AS n,
                max(shut + greatest(0, (1 + spare - tokens) / rate)) AS wait
         FROM level)
UPDATE buckets SET tokens = level.tokens - given.n, at = greatest(buckets.at, level.t)
FROM level, given WHERE buckets.name = level.name
RETURNING given.n, given.wait
"""
_CREATE = """
INSERT INTO buckets (name, tokens, at)
SELECT name, burst::float8, clock_timestamp() FROM unnest($1::text[], $2::text[]) AS a (name, burst) ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
_CLOSE = """
INSERT INTO buckets (name, tokens, at) VALUES ($1, 0, clock_timestamp() + $2::interval)
ON CONFLICT (name) DO UPDATE SET tokens = 0, at = greatest(buckets.at, excluded.at)
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """The number of calls that may be made now; if none, the time until one may be."""

    calls: int
    wait: timedelta


class RateBuckets:
    """The rate limit of all processes together. Rates are calls per second."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", *, overall: float, each: float, everything: str = ALL
    ) -> None:
        """
        Create a limit.

        :param everything: the name of the bucket for all calls together.
        """
        self._pool, self._overall, self._each, self._all = pool, overall, each, everything

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Grant:
        """
        Take tokens for up to ``calls`` calls of an endpoint.

        :param urgent: whether a person is waiting for the response, so that the reserved tokens may be used.
        """
        names, rates = [self._all, endpoint], [self._overall, self._each]
        bursts = [max(1.0, rate * BURST) for rate in rates]
        reserved = [0.0 if urgent else min(burst * RESERVED, burst - 1) for burst in bursts]
        texts = [[str(number) for number in numbers] for numbers in (rates, bursts, reserved)]
        for _ in range(2):
            rows = await self._pool.fetch(_TAKE, names, *texts, calls)
            if len(rows) == len(names):
                return Grant(rows[0]["n"], timedelta(seconds=rows[0]["wait"]))
            await self._pool.execute(_CREATE, names, texts[1])
        return Grant(0, timedelta(seconds=1 / self._each))

    async def wait(self, endpoint: str) -> None:
        """Wait until a call that nobody waits for may be made."""
        grant = await self.take(endpoint, 1, urgent=False)
        while not grant.calls:
            await asyncio.sleep(max(grant.wait.total_seconds(), LEAST_WAIT))
            grant = await self.take(endpoint, 1, urgent=False)

    async def close(self, endpoint: str | None, wait: timedelta) -> None:
        """Allow no calls for a while, of one endpoint or (None) of all."""
        await self._pool.execute(_CLOSE, endpoint or self._all, wait)
