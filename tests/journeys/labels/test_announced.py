"""The outbox has each mailed copy once, and who needs an address; nothing of what was mailed long ago."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app import main
from app.services import catalogue, label_runs, webhook_endpoints
from tests.support.labels import freeze
from tests.support.shop import Shop

# Issue 5 of the planned ones closes at the end of March 8, 2026 in Chicago, and is mailed on March 17.
ISSUE = 5
CUTOFF, MAILED = datetime(2026, 3, 9, 5, tzinfo=UTC), datetime(2026, 3, 17, 18, tzinfo=UTC)


async def announce(shop: Shop, now: datetime, *, times: int = 1) -> list[dict[str, Any]]:
    """Do what the housekeeping of a worker does, and return what the outbox has of copies."""
    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        for _ in range(times):
            await label_runs.announce(ctx, now=now)
    rows = await shop.rows(
        "SELECT type, sub, data FROM outbox_events WHERE type IN ('copy.mailed', 'address.needed') ORDER BY sequence"
    )
    return [{**row, "data": json.loads(row["data"])} for row in rows]


async def with_a_run(shop: Shop) -> str:
    """Freeze a run for Ada and not for Ben, who has no address. Return Ben's subscription."""
    await shop.plan_issues(50)
    for name in ("ada", "ben"):
        await shop.subscribe(shop.person(name), print_edition=True)
    owner = "SELECT s.id FROM subscriptions s JOIN subscribers r ON r.id = s.subscriber_id WHERE r.sub = 'ben'"
    (ben,) = await shop.rows(owner)
    await shop.execute(
        "DELETE FROM postal_addresses WHERE subscriber_id = (SELECT id FROM subscribers WHERE sub = 'ben')"
    )
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    return str(ben["id"])


async def test_each_mailed_copy_and_each_missing_address_is_announced_once(shop: Shop) -> None:
    ben = await with_a_run(shop)
    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        await webhook_endpoints.add(
            ctx, name="press", url="https://hooks.example.com", types=["copy.mailed"], by="staff:admin"
        )
    frozen = await announce(shop, CUTOFF)
    mailed = await announce(shop, MAILED, times=2)
    (label,) = await shop.rows("SELECT subscription_id FROM labels")

    needed = {"type": "address.needed", "sub": "ben", "data": {"subscription": ben, "issue": ISSUE}}
    assert frozen == [needed]
    sent = {"subscription": label["subscription_id"], "issue": ISSUE, "kind": "copy"}
    assert mailed == [needed, {"type": "copy.mailed", "sub": "ada", "data": sent}]


async def test_copies_that_nobody_asks_for_or_of_long_ago_are_not_announced(shop: Shop) -> None:
    await with_a_run(shop)
    assert len(await announce(shop, MAILED)) == 1  # of an address: no endpoint asks for copies
    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        await webhook_endpoints.add(ctx, name="press", url="https://hooks.example.com", types=[], by="staff:admin")
    assert len(await announce(shop, MAILED)) == 1  # they are no news anymore
    await shop.execute("UPDATE label_runs SET announced = 0")
    assert len(await announce(shop, MAILED + timedelta(days=40))) == 1


async def test_missing_addresses_are_announced_from_where_it_stopped(shop: Shop) -> None:
    ben = await with_a_run(shop)
    through = "SELECT addresses_announced, addresses_through FROM label_runs"

    await shop.execute(f"UPDATE label_runs SET addresses_through = '{ben}'")
    assert await announce(shop, CUTOFF) == []
    assert await shop.rows(through) == [{"addresses_announced": True, "addresses_through": ben}]
    await shop.execute("UPDATE label_runs SET addresses_announced = false, addresses_through = ''")
    assert [one["sub"] for one in await announce(shop, CUTOFF, times=2)] == ["ben"]
    assert await shop.rows(through) == [{"addresses_announced": True, "addresses_through": ben}]
