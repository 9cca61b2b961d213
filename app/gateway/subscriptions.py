"""Subscriptions at Stripe: looked at, scheduled to end, taken back, ended."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from app.domain.subscriptions import NotOurs, SeenSubscription
from app.gateway import translate
from app.gateway.client import Gateway


async def fetch(gateway: Gateway, stripe_id: str) -> SeenSubscription:
    """
    Look at a subscription, with its invoices and their payments.

    :raises Gone: Stripe has none of that id.
    """
    seen, listed = await asyncio.gather(
        gateway.read(f"/v1/subscriptions/{quote(stripe_id, safe='')}"),
        gateway.read_every("/v1/invoices", subscription=stripe_id, expand=["data.payments"], limit=100),
    )
    return translate.subscription(seen, listed)


async def of_invoice(gateway: Gateway, invoice_id: str) -> str:
    """
    Return the subscription an invoice is of.

    :raises NotOurs: it is of none.
    """
    invoice = await gateway.call(gateway.sdk.v1.invoices.retrieve_async(invoice_id))
    details = invoice.parent.subscription_details if invoice.parent else None
    if details is None:
        raise NotOurs("the invoice is of no subscription")
    return details.subscription if isinstance(details.subscription, str) else details.subscription.id


async def update(gateway: Gateway, stripe_id: str, parameters: Mapping[str, Any], *, key: str) -> None:
    """Change a subscription as the recorded intent says."""
    await gateway.call(
        gateway.sdk.v1.subscriptions.update_async(stripe_id, dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )


async def cancel(gateway: Gateway, stripe_id: str) -> None:
    """
    End a subscription at once. Nothing is prorated: what is given back is a refund's matter, never a credit's.

    DELETE takes no key: it can be repeated, and the second time Stripe answers that it is gone.
    """
    await gateway.call(gateway.sdk.v1.subscriptions.cancel_async(stripe_id))
