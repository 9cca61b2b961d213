"""Readers and shops of the notices' journeys: a German reader, a monthly plan, and policies that depend on the place."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.gateway.client import Gateway
from app.services import catalogue, catalogue_push
from tests.support.mailbox import Mailbox
from tests.support.shop import CATALOGUE, Person, Shop, open_shop
from tests.support.timeouts import TIMEOUT

SENDER = "Slow Ferry <subscriptions@example.com>"
MONTHLY = """
[plans.monthly]
title = "Two Issues a Month"
issues = 2
interval = "month"
features = ["digital_edition", "archive"]
guarantee = { days = 60, title = "60-Day money back guarantee!" }
cancellation = { policy = "anytime", title = "Cancel anytime" }

[plans.monthly.prices.digital]
title = "Monthly Edition"
lookup_key = "newsstand_monthly_digital"
amount = 500
currency = "usd"
tax_code = "txcd_10303002"
tax_behavior = "exclusive"
"""
ADDRESS_IN = {"name": "Ada Invented", "line1": "1 Lantern Street", "city": "Springfield", "country": "US"}
CALIFORNIA = {**ADDRESS_IN, "city": "Fresno", "region": "CA", "postal_code": "93701"}
ILLINOIS = {**ADDRESS_IN, "region": "IL", "postal_code": "62701"}
SCHEDULED = """
SELECT sub, kind, send_at FROM notifications JOIN subscribers ON subscribers.id = notifications.subscriber_id
WHERE status = 'scheduled' ORDER BY send_at, sub
"""

LEFT = "SELECT count(*) FROM notifications WHERE status IN ('scheduled', 'sending') AND send_at <= $1"


def entry(kind: str, days: int, *places: str) -> str:
    """Return an entry of the policy."""
    return f'\n[[policies.notices]]\nfrom = 2026-01-01\nkind = "{kind}"\ndays = {days}\nplaces = {list(places)}\n'


@asynccontextmanager
async def open_mailing_shop(
    database: str, sandbox: Any, issuer: Any, mail: Mailbox, folder: Path | None = None, *added: str, **more: Any
) -> AsyncIterator[Shop]:
    """
    Open a shop with a mail server.

    :param folder: for a catalogue with what is added.
    """
    options: dict[str, Any] = {"smtp_url": SecretStr(mail.url), "mail_from": SENDER}
    options["account_url"] = "https://billing.example.com/account"
    if folder is not None:
        options["catalogue"] = folder / "catalogue.toml"
        options["catalogue"].write_text(CATALOGUE.read_text() + "".join(added))
    async with open_shop(database, sandbox, issuer, **options, **more) as shop:
        if folder is not None:
            await _push(shop)
        yield shop


async def _push(shop: Shop) -> None:
    key = shop.settings.stripe_api_key
    assert key is not None
    gateway = Gateway(
        url=shop.settings.stripe_url or "", api_key=key.get_secret_value(), timeout=timedelta(seconds=TIMEOUT)
    )
    try:
        async for _ in catalogue_push.push(gateway, catalogue.load(shop.settings.catalogue)):
            pass
    finally:
        await gateway.close()


def german(shop: Shop, name: str = "ada") -> Person:
    """Return a person whose identity provider says that they read German."""
    email = f"{name}@example.com"
    token = shop.issuer.token(name, email=email, name=name.title(), claims={"locale": "de-AT"})
    shop.people[name] = Person(name, email, {"Authorization": f"Bearer {token}"})
    return shop.people[name]


async def live_in(shop: Shop, reader: Person, address: Mapping[str, str]) -> None:
    """Have a reader save their postal address."""
    saved = await shop.http.put("/v1/me/address", headers=dict(reader.headers), json=address)
    assert saved.status_code == 200, saved.text
    await shop.wait_until_idle()


async def scheduled(shop: Shop, *kinds: str) -> list[tuple[str, str, Any]]:
    """Return the notices that are due later, each with its reader, kind and time, when those that are due were sent."""
    await shop.wait_until("SELECT NOT EXISTS (SELECT FROM notifications WHERE due_at <= now())")
    found = [(row["sub"], row["kind"], row["send_at"]) for row in await shop.rows(SCHEDULED)]
    return [one for one in found if not kinds or one[1] in kinds]


async def reach(shop: Shop, moment: datetime, *, step: timedelta = timedelta(days=200)) -> None:
    """Advance the time, and wait until everything that is due was sent. With monthly terms, a step is shorter."""
    now = (await shop.stripe_get(f"/v1/test_helpers/test_clocks/{shop.clock}"))["frozen_time"]
    at = datetime.fromtimestamp(now, UTC)
    while at < moment:
        at = min(at + step, moment)
        await shop.advance_to(at)
        async with asyncio.timeout(TIMEOUT):
            while (await shop.rows(LEFT, at))[0]["count"]:
                await asyncio.sleep(0.05)


async def held_by(shop: Shop, reader: Person) -> str:
    """Return the Stripe ID of a reader's only subscription."""
    (held,) = (await shop.overview(reader))["subscriptions"]
    return str(held["stripe_id"])
