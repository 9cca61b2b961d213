"""The first statements on a new connection are fast: after a failover, all connections are new."""

from datetime import UTC, datetime

from app.db.engine.pool import open_pool
from app.db.engine.rate_buckets import RateBuckets
from app.db.entitlements import EntitlementLookup
from app.db.inbox_writer import InboxWriter, ReceivedEvent
from app.domain.events import RefetchRequest

EVENT = RefetchRequest(
    event_id="evt_1",
    type="customer.updated",
    api_version=None,
    livemode=False,
    object_id="cus_1",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    key="customer:cus_1",
    ignored=None,
)


async def test_hot_statements_do_not_query_the_catalog_first(database: str) -> None:
    """asyncpg does that for most arrays, at their first use on each connection."""
    pool = await open_pool(database, size=1, pooler=True)
    statements: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda query: statements.append(query.query))

    await RateBuckets(pool, overall=80, each=20).take("GET subscriptions", 1, urgent=True)
    writer = InboxWriter(pool)
    await writer.store(ReceivedEvent(EVENT, "{}"))
    await writer.close()
    await EntitlementLookup(pool).get("ada")
    stored = await pool.fetchrow("SELECT livemode, created_at FROM events")
    await pool.close()

    assert stored is not None
    assert tuple(stored) == (EVENT.livemode, EVENT.created_at)
    assert len(statements) >= 4
    assert [one for one in statements if "pg_type" in one] == []
