"""Helpers for tests of the sandbox: an account with its clients, and a webhook receiver."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx2
import stripe
from aiohttp import web

from tests.support.timeouts import TIMEOUT

VISA = "4242424242424242"
ADDRESS = {
    "shipping_name": "Ada Invented",
    "shipping_line1": "1 Lantern Street",
    "shipping_line2": "",
    "shipping_city": "Springfield",
    "shipping_state": "IL",
    "shipping_postal_code": "62701",
    "shipping_country": "US",
}
YEAR, DAY, HOUR = 365 * 86400, 86400, 3600
OPENING = 1_767_225_600
"""2026-01-01, the start of test clocks."""


@dataclass(kw_only=True)
class SandboxAccount:
    """An account of the sandbox with an SDK client, a browser and the control API."""

    url: str
    key: str
    client: stripe.StripeClient
    control: httpx2.AsyncClient
    browser: httpx2.AsyncClient
    _price: Any = None

    @property
    def v1(self) -> Any:
        """The v1 services of the SDK, without static types."""
        return self.client.v1

    async def request(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        """Send a request without the SDK."""
        return await self.control.request(method, path, **sent)

    async def violations(self) -> list[dict[str, Any]]:
        """Return the contract violations of all accounts."""
        return list((await self.control.get("/_sandbox/violations")).json()["data"])

    async def price(self, amount: int = 4900, **more: Any) -> Any:
        """Create a yearly price and its product."""
        product = await self.v1.products.create_async({"name": "Magazine", "tax_code": "txcd_10303002"})
        return await self.v1.prices.create_async(
            {
                "product": product.id,
                "unit_amount": amount,
                "currency": "usd",
                "recurring": {"interval": "year"},
                **more,
            }
        )

    async def customer(self, *, method: str | None = "pm_card_visa", **more: Any) -> Any:
        """Create a customer with a test payment method."""
        customer = await self.v1.customers.create_async({"email": "ada@example.com", **more})
        if method:
            attached = await self.v1.payment_methods.attach_async(method, {"customer": customer.id})
            await self.v1.customers.update_async(
                customer.id, {"invoice_settings": {"default_payment_method": attached.id}}
            )
        return customer

    async def subscribe(self, *, customer: Any = None, price: Any = None, **more: Any) -> Any:
        """Create a subscription through the API."""
        customer = customer or await self.customer()
        price = price or await self.price()
        return await self.v1.subscriptions.create_async(
            {"customer": customer.id, "items": [{"price": price.id}], **more}
        )

    async def checkout(self, *, price: Any = None, **more: Any) -> Any:
        """Create a checkout session."""
        price = price or await self.price()
        return await self.v1.checkout.sessions.create_async(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://shop.example/done?session={CHECKOUT_SESSION_ID}",
                "cancel_url": "https://shop.example/plans",
                **more,
            }
        )

    async def pay(self, session: Any, *, card: str = VISA, **more: str) -> httpx2.Response:
        """Submit the checkout page."""
        form = {"email": "ada@example.com", "card_number": card, "card_expiry": "12 / 34", "card_cvc": "123"}
        return await self.browser.post(session.url, data={**form, "card_name": "Ada Invented", **more})

    async def completed_session(self, session: Any) -> Any:
        """Return a completed session with its subscription, invoice and payments."""
        return await self.v1.checkout.sessions.retrieve_async(
            session.id, {"expand": ["subscription.latest_invoice.payments", "customer"]}
        )

    async def payment_intent_of(self, invoice: str) -> Any:
        """Return the payment intent that paid an invoice."""
        payments = await self.v1.invoice_payments.list_async({"invoice": invoice, "status": "paid"})
        return await self.v1.payment_intents.retrieve_async(payments.data[0].payment.payment_intent)

    async def clock(self) -> Any:
        """Create a test clock."""
        return await self.v1.test_helpers.test_clocks.create_async({"frozen_time": OPENING})

    async def advance(self, clock: Any, to: int) -> None:
        """Advance a test clock and wait until it is ready."""
        await self.v1.test_helpers.test_clocks.advance_async(clock.id, {"frozen_time": to})
        async with asyncio.timeout(TIMEOUT):
            while (await self.v1.test_helpers.test_clocks.retrieve_async(clock.id)).status != "ready":
                await asyncio.sleep(0.01)

    async def add_endpoint(self, url: str, *events: str) -> Any:
        """Register a webhook endpoint."""
        return await self.v1.webhook_endpoints.create_async({"url": url, "enabled_events": list(events) or ["*"]})

    async def idle(self) -> dict[str, Any]:
        """Wait until all webhooks are delivered."""
        answer = await self.control.get("/_sandbox/idle", params={"timeout": "10"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def settings(self, **wanted: Any) -> dict[str, Any]:
        """Change the settings of the account."""
        answer = await self.control.put("/_sandbox/settings", json=wanted)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def fault(self, **wanted: Any) -> str:
        """Add a fault and return its ID."""
        answer = await self.control.post("/_sandbox/faults", json=wanted)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def types(self) -> list[str]:
        """Return the types of all events, oldest first."""
        listed = await self.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(listed.data)]

    async def event(self, kind: str) -> Any:
        """Return the newest event of a type."""
        return (await self.v1.events.list_async({"type": kind})).data[0]


@dataclass
class Receiver:
    """A webhook receiver. It returns the next status in `answers`, or 200."""

    url: str = ""
    received: list[tuple[bytes, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.received.append((await request.read(), request.headers["Stripe-Signature"]))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)
