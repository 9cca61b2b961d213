"""What the tests of the sandbox do again and again, in their words."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx2
import stripe
from aiohttp import web

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
"""2026-01-01, where the test clocks begin."""


@dataclass(kw_only=True)
class Shop:
    """An account at the sandbox."""

    url: str
    key: str
    client: stripe.StripeClient
    control: httpx2.AsyncClient
    browser: httpx2.AsyncClient
    _price: Any = None

    @property
    def v1(self) -> Any:
        """The services of the SDK, without the static types that a test does not need."""
        return self.client.v1

    async def raw(self, method: str, path: str, **sent: Any) -> httpx2.Response:
        """Send a request past the SDK."""
        return await self.control.request(method, path, **sent)

    async def violations(self) -> list[dict[str, Any]]:
        """Return what did not fit the contract, of all accounts."""
        return list((await self.control.get("/_sandbox/violations")).json()["data"])

    async def price(self, amount: int = 4900, **more: Any) -> Any:
        """Make a yearly price of a product."""
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
        """Make a customer, who pays with a test payment method."""
        customer = await self.v1.customers.create_async({"email": "ada@example.com", **more})
        if method:
            attached = await self.v1.payment_methods.attach_async(method, {"customer": customer.id})
            await self.v1.customers.update_async(
                customer.id, {"invoice_settings": {"default_payment_method": attached.id}}
            )
        return customer

    async def subscribe(self, *, customer: Any = None, price: Any = None, **more: Any) -> Any:
        """Begin a subscription by API."""
        customer = customer or await self.customer()
        price = price or await self.price()
        return await self.v1.subscriptions.create_async(
            {"customer": customer.id, "items": [{"price": price.id}], **more}
        )

    async def checkout(self, *, price: Any = None, **more: Any) -> Any:
        """Open a checkout session."""
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
        """Fill in the checkout page and press pay."""
        form = {"email": "ada@example.com", "card_number": card, "card_expiry": "12 / 34", "card_cvc": "123"}
        return await self.browser.post(session.url, data={**form, "card_name": "Ada Invented", **more})

    async def bought(self, session: Any) -> Any:
        """Return a session that is paid, with its subscription, invoice and payments."""
        return await self.v1.checkout.sessions.retrieve_async(
            session.id, {"expand": ["subscription.latest_invoice.payments", "customer"]}
        )

    async def payment_intent_of(self, invoice: str) -> Any:
        """Return the payment intent that paid an invoice, the way Stripe wants it to be looked up."""
        payments = await self.v1.invoice_payments.list_async({"invoice": invoice, "status": "paid"})
        return await self.v1.payment_intents.retrieve_async(payments.data[0].payment.payment_intent)

    async def clock(self) -> Any:
        """Make a test clock that stands at the opening."""
        return await self.v1.test_helpers.test_clocks.create_async({"frozen_time": OPENING})

    async def wind(self, clock: Any, to: int) -> None:
        """Advance a test clock and wait until it is ready."""
        await self.v1.test_helpers.test_clocks.advance_async(clock.id, {"frozen_time": to})
        async with asyncio.timeout(10):
            while (await self.v1.test_helpers.test_clocks.retrieve_async(clock.id)).status != "ready":
                await asyncio.sleep(0.01)

    async def listen(self, url: str, *events: str) -> Any:
        """Register a webhook endpoint."""
        return await self.v1.webhook_endpoints.create_async({"url": url, "enabled_events": list(events) or ["*"]})

    async def idle(self) -> dict[str, Any]:
        """Wait until every webhook has been delivered."""
        answer = await self.control.get("/_sandbox/idle", params={"timeout": "10"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def settings(self, **wanted: Any) -> dict[str, Any]:
        """Change the settings of the account."""
        answer = await self.control.put("/_sandbox/settings", json=wanted)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def fault(self, **wanted: Any) -> str:
        """Have something go wrong."""
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
    """A web server for webhooks. It answers 200 unless `answers` says otherwise, one status for each delivery."""

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
