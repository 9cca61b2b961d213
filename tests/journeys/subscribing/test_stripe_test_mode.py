"""
The same journeys with Stripe's test mode, if a test key is set: ``STRIPE_TEST_KEY=sk_test_… make test-slow``.

A hosted page can't be completed by API, so these tests create the subscription by API, with the customer and metadata
of the checkout session. Stripe can't reach this machine, so the tests fetch events and send them, signed, to the webhook,
as the ``stripe listen`` command does.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr
from stripe import WebhookSignature

from app import main
from app.services import catalogue, catalogue_push
from app.settings import STRIPE, Settings
from tests.support.authentication import create_api_key
from tests.support.shop import CATALOGUE, TLS, Person, Shop, free_socket, serving
from tests.support.timeouts import TIMEOUT

KEY = os.environ.get("STRIPE_TEST_KEY", "")
URL = os.environ.get("STRIPE_TEST_URL", STRIPE)  # the sandbox's address tests this driver
SECRET = "whsec_of_this_test_alone"

pytestmark = [
    pytest.mark.skipif(not KEY, reason="STRIPE_TEST_KEY is not set: Stripe's own test mode was left out"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def shop(database: str, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a service that uses Stripe's test mode, with the catalogue pushed."""
    bound = free_socket()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    settings = Settings(
        database_url=SecretStr(database),
        stripe_url=URL,
        stripe_api_key=SecretStr(KEY),
        webhook_secrets=(SecretStr(SECRET),),
        oidc_issuer=issuer.url,
        allowed_return_hosts=("127.0.0.1:8080",),
        catalogue=CATALOGUE,
        lease=timedelta(seconds=60),
    )
    offer = catalogue.load(CATALOGUE)
    async with (
        main.open_context(settings, offer) as ctx,
        httpx2.AsyncClient(base_url=URL, headers={"Authorization": f"Bearer {KEY}"}, timeout=TIMEOUT) as stripe,
        httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, verify=TLS) as http,
        httpx2.AsyncClient(timeout=TIMEOUT, verify=TLS) as browser,
        asyncpg.create_pool(database, min_size=0, max_size=4) as pool,
    ):
        async for _ in catalogue_push.push(ctx.gateway, offer):
            pass
        server_key = await create_api_key(ctx, "entitlements:read")
        async with serving(settings, bound):
            yield Shop(
                url=url,
                settings=settings,
                http=http,
                stripe=stripe,
                browser=browser,
                issuer=issuer,
                dsn=database,
                clock="",
                server_key=server_key,
                pool=pool,
            )


async def pay(shop: Shop, by: Person) -> str:
    """Create the subscription that the hosted page would. Return its Stripe ID."""
    opened = (await shop.open_checkout(by)).json()
    session = await shop.stripe_get(f"/v1/checkout/sessions/{opened['id']}", **{"expand[0]": "line_items"})
    await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=session["customer"])
    (method,) = (await shop.stripe_get(f"/v1/customers/{session['customer']}/payment_methods"))["data"]
    bought = await shop.stripe_post(
        "/v1/subscriptions",
        customer=session["customer"],
        default_payment_method=method["id"],
        **{f"items[{i}][price]": line["price"]["id"] for i, line in enumerate(session["line_items"]["data"])},
        **{f"metadata[{name}]": value for name, value in session["metadata"].items()},
    )
    await shop.stripe_post(f"/v1/checkout/sessions/{opened['id']}/expire")
    return str(bought["id"])


async def deliver_events_until(shop: Shop, by: Person, reason: str, *, since: int) -> None:
    """Send Stripe's events to the webhook until a reader's access has the given reason."""
    async with asyncio.timeout(TIMEOUT):
        while (await shop.check(by))["reason"] != reason:
            for event in (await shop.stripe_get("/v1/events", limit="100", **{"created[gte]": str(since)}))["data"]:
                body = json.dumps(event)
                signature = WebhookSignature.generate_signature_header(body, SECRET, int(time.time()))
                taken = await shop.http.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": signature})
                assert taken.status_code == 200, taken.text
            await asyncio.sleep(1)


async def test_a_refund_ends_the_access_of_a_subscriber(shop: Shop) -> None:
    since = int(time.time()) - 5
    reader = shop.person(f"reader-{since}")
    bought = await pay(shop, reader)
    await deliver_events_until(shop, reader, "paid_term", since=since)
    payment = (await shop.overview(reader))["payments"][0]["id"]

    refund = await shop.request_refund(payment)
    await deliver_events_until(shop, reader, "refunded", since=since)

    assert refund.status_code in {201, 202}, refund.text
    async with asyncio.timeout(TIMEOUT):
        while (await shop.stripe_get(f"/v1/subscriptions/{bought}"))["status"] != "canceled":
            await asyncio.sleep(1)
    refunds = (await shop.stripe_get("/v1/refunds", payment_intent=payment))["data"]
    assert [one["amount"] for one in refunds] == [49_00]


async def test_a_cancellation_can_be_resumed(shop: Shop) -> None:
    since = int(time.time()) - 5
    reader = shop.person(f"reader-{since}-leaving")
    await pay(shop, reader)
    await deliver_events_until(shop, reader, "paid_term", since=since)

    ends = (await shop.post("/v1/me/subscription/cancel", reader, {"when": "period_end"})).json()
    renews = (await shop.post("/v1/me/subscription/resume", reader)).json()
    ended = (await shop.post("/v1/me/subscription/cancel", reader, {"when": "now"})).json()

    assert ends["ends_at"] is not None
    assert (renews["ends_at"], ended["status"]) == (None, "canceled")
    assert not await shop.may_read(reader)
