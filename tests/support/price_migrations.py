"""Price migrations in a shop: a new price at Stripe, a migration to it, and what a worker does half-hourly."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any

from app import main
from app.context import Context
from app.domain.price_migrations import PriceMigration
from app.services import catalogue, price_migrations
from tests.support.shop import Person, Shop

FROM = date(2026, 6, 1)
PATH = "/v1/support/price-migrations"
KEY = "newsstand_annual_digital"
NOTICE_REFUSED = (  # by the mail server, for now; and recorded, so that no worker has it
    "SELECT count(*) = 1 FROM notifications"
    " WHERE kind = 'price_change' AND status = 'scheduled' AND last_error LIKE '451%'"
)


@asynccontextmanager
async def context(shop: Shop) -> AsyncIterator[Context]:
    """Provide the context of the service, or of a command beside it."""
    if shop.app is not None:
        yield shop.app.state.api.ctx
        return
    async with main.open_context(shop.settings, catalogue.load(shop.settings.catalogue)) as ctx:
        yield ctx


async def new_price(shop: Shop, amount: int, component: str = "digital", version: int = 2) -> str:
    """Create the next version of a price, as a catalogue push would, and return its ID."""
    made = await shop.stripe_post(
        "/v1/prices",
        **{
            "product": f"newsstand_annual_{component}",
            "unit_amount": str(amount),
            "currency": "usd",
            "recurring[interval]": "year",
            "tax_behavior": "exclusive",
            "lookup_key": f"newsstand_annual_{component}",
            "transfer_lookup_key": "true",
            "metadata[newsstand_plan]": "annual",
            "metadata[newsstand_component]": component,
            "metadata[newsstand_version]": str(version),
        },
    )
    old = (await shop.stripe_get("/v1/prices", product=f"newsstand_annual_{component}", active="true"))["data"]
    for price in old:
        if price["id"] != made["id"]:
            await shop.stripe_post(f"/v1/prices/{price['id']}", active="false")
    return str(made["id"])


async def start(
    shop: Shop, *wanted: str, from_day: date = FROM, publisher_sends_notices: bool = True
) -> PriceMigration:
    """Start a migration, and let a worker list its subscriptions."""
    async with context(shop) as ctx:
        migration = await price_migrations.prepare(
            ctx,
            "annual",
            wanted or (KEY,),
            from_day=from_day,
            publisher_sends_notices=publisher_sends_notices,
            by="operator:ops",
            now=await ctx.clock.policy(),
        )
        await price_migrations.start(ctx, migration)
    await shop.wait_until_idle()
    return migration


async def run_due(shop: Shop) -> None:
    """Do what a worker does twice an hour, until nothing is due at this time."""
    async with context(shop) as ctx:
        while await price_migrations.queue_due(ctx, now=await ctx.clock.policy()):
            await shop.wait_until_idle()
    await shop.wait_until_idle()


async def run_at(shop: Shop, *moments: datetime) -> None:
    """Advance the time to some moments, and do what is due at each."""
    for moment in moments:
        await shop.advance_to(moment)
        await run_due(shop)


async def changes(shop: Shop, migration: PriceMigration) -> list[dict[str, Any]]:
    """Return the changes as the API shows them."""
    answer = await shop.get(f"{PATH}/{migration.id}/changes", admin(shop))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def only_change(shop: Shop, migration: PriceMigration) -> dict[str, Any]:
    """Return the only change."""
    (found,) = await changes(shop, migration)
    return found


async def status(shop: Shop, migration: PriceMigration) -> str:
    """Return the status of a migration."""
    return str((await shop.get(f"{PATH}/{migration.id}", admin(shop))).json()["status"])


async def prices(shop: Shop, stripe_id: str) -> dict[str, tuple[int, int]]:
    """Return the price and the quantity of each item of a subscription at Stripe, by component."""
    held = await shop.stripe_get(f"/v1/subscriptions/{stripe_id}")
    return {
        item["price"]["product"].rpartition("_")[2]: (item["price"]["unit_amount"], item["quantity"])
        for item in held["items"]["data"]
    }


async def invoices(shop: Shop, stripe_id: str) -> Sequence[dict[str, Any]]:
    """Return the invoices of a subscription at Stripe, oldest first."""
    return list(reversed((await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]))


def admin(shop: Shop) -> Person:
    """Return an administrator."""
    return shop.person("chief", roles=("admin",))
