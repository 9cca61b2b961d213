"""The entitlement cache of a process, and how long its values are used."""

import gc
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from app.db.engine.pool import open_pool
from app.db.entitlements import EntitlementLookup
from app.domain.errors import DatabaseUnavailable
from app.services import catalogue
from app.services.entitlements import Entitlements

OFFER = catalogue.load(Path(__file__).parents[2] / "catalogue.toml")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
BEGUN, OVER = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()), int(datetime(2027, 3, 1, tzinfo=UTC).timestamp())
GRANTED = f'{{"otherwise": "ended", "features": {{"archive": [[{BEGUN}, {OVER}, "paid_term", "grt_1"]]}}}}'
TAKEN = '{"otherwise": "refunded", "features": {}}'


class Checks:
    """Entitlement checks with a real database and a time that the test sets."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool, self.time = pool, 100.0
        self.answers = Entitlements(
            EntitlementLookup(pool), OFFER, outage_allowance=timedelta(minutes=5), cache_size=2, time=lambda: self.time
        )

    async def write(self, sub: str, access: str) -> None:
        await self.pool.execute("INSERT INTO subscribers (id, sub) VALUES ($1, $1) ON CONFLICT DO NOTHING", sub)
        await self.pool.execute(
            "INSERT INTO entitlements (sub, subscriber_id, version, access) VALUES ($1, $1, 1, $2)"
            " ON CONFLICT (sub) DO UPDATE SET access = $2, version = entitlements.version + 1",
            sub,
            access,
        )

    async def reason(self, sub: str) -> str:
        return (await self.answers.check(sub, "archive", now=NOW)).decision.reason


@pytest.fixture
async def checks(database: str) -> AsyncIterator[Checks]:
    pool = await open_pool(database, size=2, pooler=False)
    made = Checks(pool)
    await made.write("ada", GRANTED)
    yield made
    await pool.close()


async def test_an_unnotified_change_takes_effect_within_a_second(checks: Checks) -> None:
    assert await checks.reason("ada") == "paid_term"
    await checks.write("ada", TAKEN)  # without a notification

    checks.time += 1.0

    assert await checks.reason("ada") == "refunded"


async def test_a_notification_clears_only_the_changed_reader(checks: Checks) -> None:
    assert await checks.reason("ada") == "paid_term"
    checks.time += 60
    checks.answers.confirm(checks.time)
    await checks.pool.execute("SELECT 1")
    assert checks.answers.cached("ada") is not None

    await checks.write("ada", TAKEN)
    checks.answers.invalidate("ada")

    assert await checks.reason("ada") == "refunded"


async def test_a_value_that_changes_while_it_is_read_is_not_cached(checks: Checks) -> None:
    reading = checks.answers.fetch("ada")
    reading.send(None)  # the read is in progress
    checks.answers.invalidate("ada")
    reading.close()
    assert checks.answers.cached("ada") is None


async def test_the_cache_is_bounded(checks: Checks) -> None:
    for sub in ("ada", "bob", "cyd"):
        await checks.reason(sub)

    assert [checks.answers.cached(sub) is not None for sub in ("ada", "bob", "cyd")] == [False, True, True]


async def test_recently_allowed_readers_keep_access_without_the_database(checks: Checks) -> None:
    assert await checks.reason("ada") == "paid_term"
    assert await checks.reason("bob") == "never_subscribed"
    await checks.pool.close()
    checks.time += 60

    assert await checks.reason("ada") == "paid_term"
    for sub in ("bob", "cyd"):
        with pytest.raises(DatabaseUnavailable):
            await checks.reason(sub)
    checks.time += 300
    with pytest.raises(DatabaseUnavailable):
        await checks.reason("ada")


async def test_missed_changes_are_read_before_the_next_answer(checks: Checks) -> None:
    assert await checks.reason("ada") == "paid_term"
    await checks.write("ada", TAKEN)
    checks.answers.clear()
    assert await checks.reason("ada") == "refunded"


async def test_readers_keep_access_in_an_outage_after_the_change_feed_reconnected(checks: Checks) -> None:
    """In a failover, the feed's connection is often back before those that serve requests."""
    assert await checks.reason("ada") == "paid_term"
    checks.time += 3600
    checks.answers.confirm(checks.time)  # nothing has changed since
    checks.answers.clear()
    await checks.pool.close()
    remembered = [checks.answers.remembers]

    assert await checks.reason("ada") == "paid_term"
    checks.answers.clear()
    checks.time += 299
    assert await checks.reason("ada") == "paid_term"
    checks.time += 2
    remembered.append(checks.answers.remembers)
    with pytest.raises(DatabaseUnavailable):
        await checks.reason("ada")
    assert remembered == [True, False]


async def test_cached_readers_do_not_slow_garbage_collection(checks: Checks) -> None:
    """The collector pauses the process while it scans containers, but it does not scan strings."""
    features = {name: [[BEGUN - n, OVER - n, "paid_term", f"grt_{n}"] for n in range(9)] for name in OFFER.features}
    stored = json.dumps({"otherwise": "ended", "features": features})
    readers = [f"reader-{n}" for n in range(100)]
    for sub in readers:
        await checks.write(sub, stored)
    roomy = Entitlements(EntitlementLookup(checks.pool), OFFER, outage_allowance=timedelta(minutes=5))
    await roomy.check("ada", "archive", now=NOW)
    gc.collect()
    before = len(gc.get_objects())

    for sub in readers:
        await roomy.check(sub, "archive", now=NOW)

    gc.collect()
    more = len(gc.get_objects()) - before
    assert more < 8 * len(readers)  # and no object for each period of each feature
