"""Random histories of subscriptions whose events arrive in any order, repeatedly, late or never, and the expected state."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from stripe import WebhookSignature

from app.domain.entitlements import load
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

CONCURRENCY = 8
PRINT = "newsstand_annual_print"
Event = Mapping[str, Any]


async def list_events(shop: Shop) -> list[Event]:
    """Return every event at Stripe, newest last."""
    found: list[Event] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        after = {"starting_after": str(found[-1]["id"])} if found else {}
        page = await shop.stripe_get("/v1/events", limit="100", **after)
        found += page["data"]
    return found[::-1]


def subscription_of(event: Event) -> str | None:
    """Return the subscription of an event, or None if the event doesn't name one."""
    thing = event["data"]["object"]
    if thing["object"] == "subscription":
        return str(thing["id"])
    if thing["object"] == "invoice" and thing["parent"]:
        return str(thing["parent"]["subscription_details"]["subscription"])
    return None


async def deliver(shop: Shop, event: Event) -> None:
    """Deliver an event with a valid signature."""
    body = json.dumps(event)
    secret = shop.settings.webhook_secrets[0].get_secret_value()
    signature = WebhookSignature.generate_signature_header(body, secret, int(time.time()))
    answer = await shop.http.post(
        "/webhooks/stripe",
        content=body.encode(),
        headers={"Stripe-Signature": signature, "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text


async def deliver_all(shop: Shop, events: Iterable[Event]) -> None:
    """Deliver events concurrently, but not more than the service handles at a time."""
    slots = asyncio.Semaphore(50)

    async def one(event: Event) -> None:
        async with slots:
            await deliver(shop, event)

    await asyncio.gather(*(one(event) for event in events))


async def deliver_until_accepted(shop: Shop, event: Event) -> None:
    """Deliver an event repeatedly until the response is 200, as Stripe does."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(httpx2.TransportError, AssertionError):
                return await deliver(shop, event)
            await asyncio.sleep(0.05)


async def change_at_random(shop: Shop, stripe_id: str, rng: random.Random) -> None:
    """Apply a random change to a subscription, as in the Dashboard."""
    path = f"/v1/subscriptions/{stripe_id}"
    if (await shop.stripe_get(path))["status"] == "canceled":
        return
    match rng.choice(
        (
            "cancel",
            "cancel later",
            "resume",
            "pause",
            "unpause",
            "change metadata",
            "toggle print",
            "partial refund",
            "full refund",
            "delete",
        )
    ):
        case "cancel":
            await _update_in_dashboard(shop, path, cancel_at_period_end="true")
        case "cancel later":
            (item,) = (await shop.stripe_get(path))["items"]["data"][:1]
            await _update_in_dashboard(
                shop, path, cancel_at=str(item["current_period_end"] + 86_400), proration_behavior="none"
            )
        case "resume":
            seen = await shop.stripe_get(path)
            await _update_in_dashboard(
                shop, path, **({"cancel_at": ""} if seen["cancel_at"] else {"cancel_at_period_end": "false"})
            )
        case "toggle print":
            await _toggle_print(shop, path)
        case "pause":
            await _update_in_dashboard(shop, path, **{"pause_collection[behavior]": "void"})
        case "unpause":
            await _update_in_dashboard(shop, path, pause_collection="")
        case "change metadata":
            await _update_in_dashboard(shop, path, **{"metadata[note]": str(rng.random())})
        case "delete":
            await shop.stripe.delete(path)
        case part:
            await _refund_in_dashboard(shop, stripe_id, whole=part == "full refund")


async def _toggle_print(shop: Shop, path: str) -> None:
    """Add or remove the print edition from the next term on, without proration."""
    items = {item["price"]["product"]: item["id"] for item in (await shop.stripe_get(path))["items"]["data"]}
    quietly = {"proration_behavior": "none"}
    if PRINT in items:
        await _update_in_dashboard(shop, path, **{"items[0][id]": items[PRINT], "items[0][deleted]": "true"}, **quietly)
        return
    price = (await shop.stripe_get("/v1/prices", product=PRINT))["data"][0]
    await _update_in_dashboard(shop, path, **{"items[0][price]": price["id"]}, **quietly)


async def _update_in_dashboard(shop: Shop, path: str, **fields: str) -> None:
    """Change a subscription in the Dashboard. Stripe declines if the service has already ended it."""
    answer = await shop.stripe.post(path, data=fields)
    assert answer.status_code == 200 or "A canceled subscription" in answer.text, answer.text


async def _refund_in_dashboard(shop: Shop, stripe_id: str, *, whole: bool) -> None:
    for payment, amount in (await StripeRecords.of(shop, stripe_id)).payments.items():
        refunded = await refunds_at_stripe(shop, payment)
        left = amount - sum(refunded.values())
        if left > 1_00:
            await shop.stripe_post("/v1/refunds", payment_intent=payment, amount=str(left if whole else 1_00))


async def refunds_at_stripe(shop: Shop, payment: str) -> dict[str, int]:
    """Return the refunded amounts of a payment, by refund."""
    listed = (await shop.stripe_get("/v1/refunds", payment_intent=payment, limit="100"))["data"]
    return {str(r["id"]): int(r["amount"]) for r in listed if r["status"] not in {"failed", "canceled"}}


@dataclass(frozen=True)
class StripeRecords:
    """The current records of one subscription at Stripe, and the state that follows from them."""

    seen: Mapping[str, Any]
    invoices: Sequence[Mapping[str, Any]]
    refunded: Mapping[str, Mapping[str, int]]  # refunds, by payment

    @classmethod
    async def of(cls, shop: Shop, stripe_id: str) -> "StripeRecords":
        """Fetch the records of a subscription."""
        seen = await shop.stripe_get(f"/v1/subscriptions/{stripe_id}")
        listed = await shop.stripe_get("/v1/invoices", subscription=stripe_id, **{"expand[0]": "data.payments"})
        paid = [invoice for invoice in listed["data"] if invoice["status"] == "paid"]
        payments = [str(p["payment"]["payment_intent"]) for i in paid for p in i["payments"]["data"]]
        return cls(seen, paid, {payment: await refunds_at_stripe(shop, payment) for payment in payments})

    @property
    def payments(self) -> dict[str, int]:
        """The paid amounts, by payment."""
        return {
            str(payment["payment"]["payment_intent"]): int(payment["amount_paid"])
            for invoice in self.invoices
            for payment in invoice["payments"]["data"]
            if payment["status"] == "paid"
        }

    @property
    def refunds(self) -> list[tuple[str, int]]:
        """Every refund and its amount."""
        return sorted(pair for refunds in self.refunded.values() for pair in refunds.items())

    @property
    def terms(self) -> dict[str, tuple[datetime, datetime]]:
        """The period of each paid invoice."""
        return {
            i["id"]: (_moment(line["period"]["start"]), _moment(line["period"]["end"]))
            for i in self.invoices
            for line in i["lines"]["data"][:1]
        }

    @property
    def ends_at(self) -> datetime | None:
        """The scheduled end, from either field that Stripe uses for it."""
        if self.seen["ended_at"] is not None:
            return None
        flagged = self.seen["cancel_at_period_end"]
        return _moment_or_none(self.seen["cancel_at"] or (self.period[1] if flagged else None))

    @property
    def period(self) -> tuple[int, int]:
        """The current billing period."""
        item = self.seen["items"]["data"][0]
        return item["current_period_start"], item["current_period_end"]

    @property
    def paid_until(self) -> datetime | None:
        """The end of the paid access, or None without access."""
        over = any(sum(self.refunded[payment].values()) >= amount for payment, amount in self.payments.items())
        if self.seen["status"] == "canceled" or over:
            return None
        return max(until for _, until in self.terms.values())

    def access_until(self, allowance: timedelta) -> datetime | None:
        """Return the end of access including the renewal allowance."""
        end = self.paid_until
        if end is None or self.seen["pause_collection"] or (self.ends_at is not None and self.ends_at <= end):
            return end
        return end + allowance


async def differences(shop: Shop, stripe_id: str) -> list[str]:
    """Return a line for each difference between our records and Stripe's."""
    books = await StripeRecords.of(shop, stripe_id)
    found = await shop.rows(
        "SELECT s.*, b.sub FROM subscriptions s JOIN subscribers b ON b.id = s.subscriber_id WHERE s.stripe_id = $1",
        stripe_id,
    )
    if not found:
        return [f"{stripe_id}: not here"]
    (held,), seen = found, books.seen
    terms = await shop.rows("SELECT * FROM terms WHERE subscription_id = $1", held["id"])
    payments = await shop.rows("SELECT id, amount FROM payments WHERE subscription_id = $1", held["id"])
    returned = await shop.rows(
        """SELECT r.stripe_refund_id, r.amount, (SELECT count(*) FROM audit_log a
               WHERE a.object_id = r.id AND a.action = 'refund.confirmed') AS told
           FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE p.subscription_id = $1""",
        held["id"],
    )
    paused = seen["pause_collection"]
    comparisons: tuple[tuple[str, object, object], ...] = (
        ("status", held["status"], seen["status"]),
        ("plan", held["plan"], "annual"),
        ("print", held["print_edition"], any(i["price"]["product"] == PRINT for i in seen["items"]["data"])),
        ("price", held["price_amount"], sum(i["price"]["unit_amount"] for i in seen["items"]["data"])),
        ("period start", held["current_period_start"], _moment(books.period[0])),
        ("period end", held["current_period_end"], _moment(books.period[1])),
        ("scheduled end", held["cancel_at"], books.ends_at),
        ("canceled at", held["canceled_at"], _moment_or_none(seen["canceled_at"])),
        ("ended", held["ended_at"], _moment_or_none(seen["ended_at"])),
        ("pause", held["collection_paused"], paused["behavior"] if paused else None),
        ("payments", {p["id"]: p["amount"] for p in payments}, books.payments),
        ("refunds", sorted((r["stripe_refund_id"], r["amount"]) for r in returned), books.refunds),
        ("each refund confirmed once", {r["told"] for r in returned} <= {1}, True),
        ("terms", {t["invoice_id"]: (t["starts_at"], t["ends_at"]) for t in terms}, books.terms),
        ("paid access until", until := await _paid_until(shop, held["sub"]), books.paid_until),
        (
            "access until",
            until and await _access_until(shop, held["sub"]),
            books.access_until(shop.settings.renewal_allowance),
        ),
    )
    return [
        f"{stripe_id}: {what}: {is_so} here, {should} at Stripe"
        for what, is_so, should in comparisons
        if is_so != should
    ]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


async def _paid_until(shop: Shop, sub: str) -> datetime | None:
    answer = await shop.http.get(
        f"/v1/subscribers/{sub}/entitlements", headers={"Authorization": f"Bearer {shop.server_key}"}
    )
    archive = answer.json()["features"].get("archive")
    return datetime.fromisoformat(archive["until"]) if archive else None


async def _access_until(shop: Shop, sub: str) -> datetime:
    (row,) = await shop.rows("SELECT access FROM entitlements WHERE sub = $1", sub)
    return max(period.until for period in load(json.loads(row["access"])).features["archive"])


async def all_differences(shop: Shop, stripe_ids: Iterable[str]) -> list[str]:
    """Return the differences of several subscriptions."""
    return [words for group in _groups(list(stripe_ids)) for one in await _each(shop, group) for words in one]


async def _each(shop: Shop, group: Sequence[str]) -> list[list[str]]:
    return list(await asyncio.gather(*(differences(shop, stripe_id) for stripe_id in group)))


def _groups(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + CONCURRENCY] for start in range(0, len(ids), CONCURRENCY)]
