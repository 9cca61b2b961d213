"""Subscriptions at Stripe."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from app.domain.invoices import InvoiceStatus
from app.domain.renewals import PauseReason
from app.domain.subscriptions import ForeignStripeObject, StripeInvoiceState, StripeSubscriptionState
from app.gateway import translate
from app.gateway.client import Gateway, Gone
from app.gateway.fields import moment

PAGE_SIZE = 100  # Stripe's maximum
A_DAY = 86_400  # seconds, a safety margin
A_MOMENT = timedelta(minutes=1)  # the most that lies between two effects of one request
EXPANDED = ("data.payments", "data.amount_paid_off_stripe")  # of listed invoices
# The card that pays, fetched with the subscription: its own, or the customer's default. And when its discounts end.
PAYMENT_METHODS = ("default_payment_method", "customer.invoice_settings.default_payment_method", "discounts")


async def fetch(gateway: Gateway, stripe_id: str) -> StripeSubscriptionState:
    """
    Fetch a subscription with its invoices and their payments.

    :raises Gone: it does not exist.
    """
    seen, listed = await asyncio.gather(
        gateway.read(f"/v1/subscriptions/{quote(stripe_id, safe='')}", expand=list(PAYMENT_METHODS)),
        gateway.read_every("/v1/invoices", subscription=stripe_id, expand=list(EXPANDED), limit=100),
    )
    invoices = [await _with_pending_payments(gateway, await whole(gateway, invoice)) for invoice in listed]
    return await _with_pause(gateway, translate.subscription(seen, invoices))


async def whole(gateway: Gateway, invoice: Any) -> Any:
    """Return an invoice with all its lines and payments, of which a list contains only the first, and its credit notes."""
    if invoice.lines.has_more:
        path = f"/v1/invoices/{quote(invoice.id, safe='')}/lines"
        invoice.lines["data"] = await gateway.read_every(path, limit=PAGE_SIZE)
    if invoice.get("payments") and invoice.payments.has_more:
        invoice.payments["data"] = await gateway.read_every("/v1/invoice_payments", invoice=invoice.id, limit=PAGE_SIZE)
    if invoice.post_payment_credit_notes_amount > 0:
        invoice["credit_notes"] = await gateway.read_every("/v1/credit_notes", invoice=invoice.id, limit=PAGE_SIZE)
    return invoice


async def fetch_all(gateway: Gateway, stripe_ids: Collection[str]) -> dict[str, StripeSubscriptionState]:
    """
    Fetch many subscriptions by listing all, 100 in a call. Those that are not listed are left out.

    Subscriptions on a test clock are listed only if the clock is given; their invoices are always listed.
    """
    clocks: list[dict[str, str]] = [{}, *([{"test_clock": gateway.test_clock}] if gateway.test_clock else [])]
    wanted, found = set(stripe_ids), {}
    oldest, expand = 0, [f"data.{path}" for path in PAYMENT_METHODS]
    for clock in clocks:
        async for page in gateway.pages("/v1/subscriptions", status="all", expand=expand, limit=PAGE_SIZE, **clock):
            for one in page:
                if one.id in wanted:  # keep the small states, not the large responses
                    found[one.id] = translate.subscription(one, []), translate.invoices_of(one)
                    oldest = min(oldest or one.created, one.created)
            if len(found) == len(wanted):
                break
    if not found:
        return {}
    invoices: dict[str, list[StripeInvoiceState]] = {stripe_id: [] for stripe_id in found}
    since = {"gte": oldest - A_DAY}
    async for page in gateway.pages("/v1/invoices", created=since, expand=list(EXPANDED), limit=PAGE_SIZE):
        for invoice in page:
            subscription_id = _subscription_of(invoice)
            if subscription_id is not None and subscription_id in found:
                complete = await _with_pending_payments(gateway, await whole(gateway, invoice))
                invoices[subscription_id].append(found[subscription_id][1](complete))
    states = {one: replace(seen, invoices=tuple(invoices[one])) for one, (seen, _) in found.items()}
    return {one: await _with_pause(gateway, state) for one, state in states.items()}


async def _with_pending_payments(gateway: Gateway, invoice: Any) -> Any:
    """Return an invoice with the payment intents of its payments if it is open: they say whether one is processing."""
    if invoice.status == InvoiceStatus.OPEN and invoice.get("payments"):
        expand = ["data.payment.payment_intent.latest_charge"]
        invoice.payments["data"] = await gateway.read_every(
            "/v1/invoice_payments", invoice=invoice.id, expand=expand, limit=PAGE_SIZE
        )
    return invoice


async def _with_pause(gateway: Gateway, state: StripeSubscriptionState) -> StripeSubscriptionState:
    """Return a subscription with whether its unused time was credited, if its pause was requested: by default it is."""
    pause = state.pause
    if pause is None or pause.reason != PauseReason.PAUSE_REQUESTED:
        return state
    try:
        items = await gateway.read_every("/v1/invoiceitems", customer=state.customer_id, limit=PAGE_SIZE)
    except Gone:  # the customer was deleted meanwhile
        return state
    credited = any(
        item.proration
        and item.amount < 0
        and _subscription_of(item) == state.id
        and abs(moment(item.date) - pause.since) <= A_MOMENT
        for item in items
    )
    return replace(state, pause=replace(pause, credited=credited))


async def of_invoice(gateway: Gateway, invoice_id: str) -> str:
    """
    Return the ID of an invoice's subscription.

    :raises ForeignStripeObject: it has none.
    """
    invoice = await gateway.call(gateway.sdk.v1.invoices.retrieve_async(invoice_id))
    subscription_id = _subscription_of(invoice)
    if subscription_id is None:
        raise ForeignStripeObject("The invoice has no subscription")
    return subscription_id


def _subscription_of(invoice: Any) -> str | None:
    details = invoice.parent.subscription_details if invoice.parent else None
    if details is None:
        return None
    return details.subscription if isinstance(details.subscription, str) else str(details.subscription.id)


async def update(gateway: Gateway, stripe_id: str, parameters: Mapping[str, Any], *, key: str) -> None:
    """Make the update of a stored intent."""
    await gateway.call(
        gateway.sdk.v1.subscriptions.update_async(stripe_id, dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )


async def cancel(gateway: Gateway, stripe_id: str) -> None:
    """
    Cancel a subscription immediately, without proration: readers get refunds, never credits.

    DELETE takes no idempotency key. If it is repeated, Stripe responds that the subscription no longer exists.
    """
    await gateway.call(gateway.sdk.v1.subscriptions.cancel_async(stripe_id))
