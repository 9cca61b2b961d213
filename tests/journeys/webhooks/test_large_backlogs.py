"""A large backlog after an outage is synced by listing, and ends in Stripe's state."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import main
from app.db import subscriptions as kept
from app.services import catalogue, subscriptions
from tests.support.many_subscribers import add_events, create_subscribers
from tests.support.shop import CATALOGUE, Shop, open_shop


@pytest.fixture
async def listing_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop with four calls per second and endpoint, which lists from ten pending subscriptions on."""
    slowly: dict[str, Any] = {
        "stripe_rate_limit": 80,
        "stripe_endpoint_rate_limit": 4,
        "worker_concurrency": 2,
        "lease": timedelta(seconds=60),  # so that no event is claimed twice on a busy machine
    }
    async with open_shop(database, sandbox, issuer, backlog_threshold=10, **slowly) as opened:
        yield opened


async def test_a_large_backlog_is_listed_including_test_clock_customers(listing_shop: Shop) -> None:
    shop = listing_shop
    ids = await create_subscribers(shop, 20) + await create_subscribers(shop, 40, clock=shop.clock)
    canceled = ids[:2] + ids[-2:]
    for stripe_id in canceled:
        await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.stripe.delete("/_sandbox/requests")

    await add_events(shop, [*ids, "sub_of_nobody"], each=2)
    await shop.wait_until_idle()

    asked = (await shop.stripe.get("/_sandbox/requests")).json()["data"]
    one_by_one = [call for call in asked if call["method"] == "GET" and call["path"].startswith("/v1/subscriptions/")]
    assert len(one_by_one) < len(ids) / 2
    assert any(call["path"] == "/v1/subscriptions" for call in asked)
    states = await shop.rows("SELECT state, count(*) FROM events WHERE id LIKE 'evt%' GROUP BY state ORDER BY state")
    assert [tuple(row.values()) for row in states] == [("applied", 2 * len(ids)), ("ignored", 2)]
    held = {row["stripe_id"]: row["status"] for row in await shop.rows("SELECT stripe_id, status FROM subscriptions")}
    assert held == {stripe_id: "canceled" if stripe_id in canceled else "active" for stripe_id in ids}
    (paid,) = await shop.rows("SELECT count(*) FROM payments")
    (entitled,) = await shop.rows("SELECT count(*) FROM entitlements")
    assert (paid["count"], entitled["count"]) == (len(ids), len(ids))


async def test_a_listed_state_older_than_the_saved_one_is_discarded(shop: Shop) -> None:
    (stripe_id,) = await create_subscribers(shop, 1)
    now = datetime.now(UTC)
    async with main.open_context(shop.settings, catalogue.load(CATALOGUE)) as ctx:
        async with ctx.sessions.begin() as session:
            before = await kept.version(session, stripe_id)
        listed = await subscriptions.fetch_all(ctx, [stripe_id])
        await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
        newer = await subscriptions.sync(ctx, stripe_id, now=now)

        after = await subscriptions.sync(ctx, stripe_id, now=now, version=before, fetched=listed[stripe_id])

    assert (listed[stripe_id].status, newer.status, after.status) == ("active", "canceled", "canceled")
