"""
Stripe's limits, shared by all processes: a bucket of tokens for each endpoint and one for all, a token for each call.

Both rows of a call are locked and changed in one statement, in the order of their names. A process asks for as many tokens
as it has calls waiting, so a row is written at most as often as calls are made, and those are limited. The time is the
database's; the table is UNLOGGED, so no commit of it waits for the disk.
"""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

ALL = "all"
# Of a second's calls so many may come at once. Stripe's own buckets hold a whole second's; the rest is left for calls
# that are late on their way and then arrive together.
AT_ONCE = 0.5
SPARE = 0.4  # the share of what may come at once that is kept for calls somebody waits for

_TAKE = """
WITH asked AS (SELECT * FROM unnest($1::text[], $2::float8[], $3::float8[], $4::float8[]) AS a (name, rate, burst, spare)),
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
_FILL = """
INSERT INTO buckets (name, tokens, at)
SELECT name, burst, clock_timestamp() FROM unnest($1::text[], $2::float8[]) AS a (name, burst) ORDER BY name
ON CONFLICT (name) DO NOTHING
"""
_SHUT = """
INSERT INTO buckets (name, tokens, at) VALUES ($1, 0, clock_timestamp() + $2::interval)
ON CONFLICT (name) DO UPDATE SET tokens = 0, at = greatest(buckets.at, excluded.at)
"""


@dataclass(frozen=True, slots=True)
class Granted:
    """So many calls may be made now; if none, there may be one after ``wait``."""

    calls: int
    wait: timedelta


class RateBuckets:
    """The allowance of all processes together. Rates in calls a second."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, overall: float, each: float) -> None:
        self._pool, self._overall, self._each = pool, overall, each

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Granted:
        """
        Take tokens for up to ``calls`` calls of an endpoint.

        :param urgent: somebody waits for the answer: what is spared for that may be taken.
        """
        names, rates = [ALL, endpoint], [self._overall, self._each]
        bursts = [max(1.0, rate * AT_ONCE) for rate in rates]
        spares = [0.0 if urgent else min(burst * SPARE, burst - 1) for burst in bursts]
        for _ in range(2):
            rows = await self._pool.fetch(_TAKE, names, rates, bursts, spares, calls)
            if len(rows) == len(names):
                return Granted(rows[0]["n"], timedelta(seconds=rows[0]["wait"]))
            await self._pool.execute(_FILL, names, bursts)
        return Granted(0, timedelta(seconds=1 / self._each))

    async def shut(self, endpoint: str | None, wait: timedelta) -> None:
        """Let nobody call for a while, since Stripe said so. None: no endpoint at all."""
        await self._pool.execute(_SHUT, endpoint or ALL, wait)
