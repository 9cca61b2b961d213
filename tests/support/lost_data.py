"""Data that is gone, as after a restored backup."""

from tests.support.shop import Shop

ABOUT_READERS = (
    "idempotent_requests",
    "intents",
    "grants",
    "refunds",
    "payments",
    "terms",
    "subscriptions",
    "checkouts",
    "consents",
    "events",
    "entitlements",
    "contact_changes",
    "subscribers",
)


async def lose_readers(shop: Shop) -> None:
    """Delete all readers and what is about them, also what triggers and foreign keys keep."""
    async with shop.pool.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        for table in ABOUT_READERS:
            await connection.execute(f"DELETE FROM {table}")
        await connection.execute("RESET session_replication_role")
