"""The service is killed between the steps of a cancellation or of a duplicate's refund; each still happens once."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx2
import pytest

from tests.journeys.cancellations.test_ends import A_YEAR, invoices_of
from tests.journeys.subscribing.test_duplicates import by_stripe_id, open_another_tab
from tests.support.crashes import kill_and_restart
from tests.support.shop import START_TIME, Person, Shop

pytestmark = pytest.mark.slow

Step = tuple[str, str, str]
SUBSCRIPTION, INVOICE, ITEM = "/v1/subscriptions/{subscription}", "/v1/invoices/{invoice}", "/v1/invoiceitems/{item}"
ORDERED: Step = ("DELETE", SUBSCRIPTION, "before")
CANCELLED: Step = ("DELETE", SUBSCRIPTION, "after")
LOOKED: Step = ("GET", SUBSCRIPTION, "after")
UNHELD: Step = ("POST", INVOICE, "before")
HELD: Step = ("POST", INVOICE, "after")
UNVOIDED: Step = ("POST", f"{INVOICE}/void", "before")
VOIDED: Step = ("POST", f"{INVOICE}/void", "after")
UNDELETED: Step = ("DELETE", ITEM, "before")
DELETED: Step = ("DELETE", ITEM, "after")
CANCELLATION = (UNHELD, HELD, ORDERED, CANCELLED, LOOKED, UNVOIDED, VOIDED, UNDELETED, DELETED)
AFTER_END_AT_STRIPE = (
    LOOKED,
    UNVOIDED,
    VOIDED,
    UNDELETED,
    DELETED,
)  # the remaining steps after Stripe has ended a subscription
UNSEEN: Step = ("GET", "/v1/subscriptions/{stays}", "before")  # fetched again when there are two
SEEN: Step = ("GET", "/v1/subscriptions/{stays}", "after")
UNPAID: Step = ("POST", "/v1/refunds", "before")
PAID: Step = ("POST", "/v1/refunds", "after")
UNCREDITED: Step = ("POST", "/v1/credit_notes", "before")
CREDITED: Step = ("POST", "/v1/credit_notes", "after")
KEPT: Step = ("DELETE", "/v1/subscriptions/*", "before")
GONE: Step = ("DELETE", "/v1/subscriptions/*", "after")
DUPLICATE = (UNSEEN, SEEN, UNPAID, PAID, UNCREDITED, CREDITED, KEPT, GONE)


@dataclass(frozen=True)
class Debtor:
    """A reader whose renewal failed, with a pending invoice item."""

    reader: Person
    customer: str
    subscription: str
    invoice: str
    item: str

    def fault_at(self, moment: Step) -> dict[str, object]:
        """Return the fault that holds the service at a step of this reader's cancellation."""
        method, path, when = moment
        ids = {"subscription": self.subscription, "invoice": self.invoice, "item": self.item}
        return {"method": method, "path": path.format(**ids), "when": when, "action": "hold", "times": 1}


async def create_debtors(shop: Shop, count: int) -> list[Debtor]:
    """Create readers whose renewals failed, a year after they subscribed."""
    readers = [shop.person(f"debtor-{n}") for n in range(count)]
    held = {}
    for reader in readers:
        await shop.subscribe(reader)
        overview = await shop.overview(reader)
        held[reader.sub] = (overview["stripe_customer"], overview["subscriptions"][0]["stripe_id"])
    for customer, stripe_id in held.values():
        card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer)
        await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])
    await shop.advance_to(A_YEAR + timedelta(days=1))
    found = []
    for reader in readers:
        customer, stripe_id = held[reader.sub]
        what = {"customer": customer, "amount": "2400", "currency": "usd"}
        item = await shop.stripe_post("/v1/invoiceitems", **what, subscription=stripe_id, description="Print Edition")
        (owed,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id, status="open"))["data"]
        found.append(Debtor(reader, customer, stripe_id, owed["id"], item["id"]))
    await shop.wait_until_idle()
    return found


ENDED_AS = {
    "now": ("cancel_now", ["subscription.cancel_now"]),
    "period_end": ("not_renewed", ["subscription.cancel_at_period_end"]),
}  # by what the reader chose: what ended the subscription, and the entries of the audit log


async def check_ended_once(shop: Shop, debtor: Debtor, *, when: str | None) -> None:
    """Check that a subscription ended and no step of it happened twice. ``when`` is what the reader chose, if they did."""
    ended_by, ordered = ENDED_AS[when] if when is not None else (None, [])
    overview = await shop.overview(debtor.reader)
    (held,) = overview["subscriptions"]
    assert overview["refunds"] == [], "a cancellation causes no refund"
    assert held["ended_by"] == ended_by
    assert (await shop.stripe_get(f"/v1/subscriptions/{debtor.subscription}"))["status"] == "canceled"
    assert await invoices_of(shop, debtor.subscription) == ["void", "paid"]
    assert (await shop.stripe_get("/v1/invoiceitems", customer=debtor.customer, pending="true"))["data"] == []
    assert not await shop.may_read(debtor.reader)
    (row,) = await shop.rows(
        "SELECT closed_at IS NOT NULL AS closed, due_at FROM subscriptions WHERE stripe_id = $1", debtor.subscription
    )
    assert tuple(row.values()) == (True, None)
    entries = await shop.rows(
        "SELECT action FROM audit_log WHERE object_id = ANY($1) ORDER BY action",
        [held["id"], debtor.invoice, debtor.item],
    )
    held_first = ["invoice.hold"] if ordered else []  # Stripe stops the collection when it ends a subscription
    assert [row["action"] for row in entries] == [*held_first, "invoice.void", "pending_item.delete", *ordered]


async def cancel_at_steps(shop: Shop, moments: Sequence[Step], *, when: str = "now") -> None:
    """For each step, cancel a reader's subscription, kill the service there, and click again."""
    for debtor, moment in zip(await create_debtors(shop, len(moments)), moments, strict=True):
        fault = await shop.add_fault(**debtor.fault_at(moment))
        leaves = asyncio.create_task(shop.post("/v1/me/subscription/cancel", debtor.reader, {"when": when}))
        await kill_and_restart(shop, fault)
        with contextlib.suppress(httpx2.TransportError):
            await leaves
        again = await shop.post("/v1/me/subscription/cancel", debtor.reader, {"when": when})
        await shop.wait_until_idle()
        assert (again.status_code, again.json()["status"]) == (200, "canceled"), moment
        await check_ended_once(shop, debtor, when=when)


async def end_at_stripe_at_steps(shop: Shop, moments: Sequence[Step]) -> None:
    """For each step, end a subscription in the Dashboard, and kill the service there."""
    for debtor, moment in zip(await create_debtors(shop, len(moments)), moments, strict=True):
        fault = await shop.add_fault(**debtor.fault_at(moment))
        await shop.stripe.delete(f"/v1/subscriptions/{debtor.subscription}")
        await kill_and_restart(shop, fault)
        await shop.wait_until_idle()
        await check_ended_once(shop, debtor, when=None)


async def pay_twice_at_steps(shop: Shop, moments: Sequence[Step]) -> None:
    """For each step, let a reader pay twice, and kill the service there."""
    first: dict[str, tuple[str, str]] = {}
    readers = [shop.person(f"reader-{n}") for n in range(len(moments))]
    for reader in readers:
        await shop.subscribe(reader)
        overview = await shop.overview(reader)
        first[reader.sub] = (overview["stripe_customer"], overview["subscriptions"][0]["stripe_id"])
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    for number, (reader, (method, path, when)) in enumerate(zip(readers, moments, strict=True), start=1):
        customer, stays = first[reader.sub]
        session = await open_another_tab(shop, customer, stays)
        fault = await shop.add_fault(method=method, path=path.format(stays=stays), when=when, action="hold", times=1)
        assert (await shop.pay_checkout(session["url"])).status_code == 303
        goes = (await shop.stripe_get(f"/v1/checkout/sessions/{session['id']}"))["subscription"]
        await kill_and_restart(shop, fault)
        await shop.wait_until_idle()

        assert (await shop.stripe_get(f"/v1/subscriptions/{stays}"))["status"] == "active"
        assert (await shop.stripe_get(f"/v1/subscriptions/{goes}"))["status"] == "canceled"
        assert await shop.may_read(reader)
        (ours,) = (await shop.overview(reader))["refunds"]
        assert (ours["basis"], ours["status"], ours["amount"]["amount"]) == ("duplicate", "succeeded", 49_00)
        refunds = (await shop.stripe_get("/v1/refunds", limit="100"))["data"]
        assert [r["amount"] for r in refunds] == [49_00] * number, (method, path, when)
        notes = (await shop.stripe_get("/v1/credit_notes", limit="100"))["data"]
        assert [n["refunds"][0]["refund"] for n in notes] == [r["id"] for r in refunds]
        held = {s["id"] for s in (await by_stripe_id(shop, reader)).values()}
        entries = await shop.rows(
            "SELECT action FROM audit_log WHERE action IN ('subscription.duplicate', 'refund.confirmed')"
            " AND object_id = ANY($1) ORDER BY action",
            [*held, ours["id"]],
        )
        assert [row["action"] for row in entries] == ["refund.confirmed", "subscription.duplicate"]


async def test_a_duplicate_is_refunded_once_if_killed_after_the_refund(killable_shop: Shop) -> None:
    await pay_twice_at_steps(killable_shop, [PAID])


async def test_a_subscription_ends_once_if_killed_when_its_invoice_is_voided(killable_shop: Shop) -> None:
    await cancel_at_steps(killable_shop, [VOIDED])


async def test_an_unpaid_subscription_ends_once_if_killed_when_it_is_canceled_at_stripe(killable_shop: Shop) -> None:
    await cancel_at_steps(killable_shop, [CANCELLED], when="period_end")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ENDED_AS)
async def test_a_subscription_ends_once_if_killed_at_any_step(killable_shop: Shop, when: str) -> None:
    await cancel_at_steps(killable_shop, CANCELLATION, when=when)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_an_end_at_stripe_is_processed_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await end_at_stripe_at_steps(killable_shop, AFTER_END_AT_STRIPE)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_a_duplicate_is_refunded_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await pay_twice_at_steps(killable_shop, DUPLICATE)
