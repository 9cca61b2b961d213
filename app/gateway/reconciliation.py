"""
Stripe's lists, 100 objects in a call, which a reconciliation compares with our records.

Each function returns one page and the cursor of the next, so that an interrupted comparison can continue.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stripe.params import DisputeListParams, EventListParams, RefundListParams

from app.domain.customers import StripeCustomerState
from app.domain.disputes import StripeDisputeState
from app.domain.pages import Page
from app.domain.reconciliation import ListedInvoice, ListedRefund
from app.domain.refunds import StripeRefundState
from app.domain.subscriptions import StripeSubscriptionState
from app.gateway import translate
from app.gateway.client import Gateway
from app.gateway.subscriptions import EXPANDED, whole

PAGE_SIZE = 100  # Stripe's maximum
MAX_EVENT_TYPES = 20  # in one request: Stripe's maximum


async def events(
    gateway: Gateway, types: Sequence[str], *, since: datetime, undelivered: bool, after: str | None
) -> Page[str]:
    """
    List Stripe's events of the last 30 days, as JSON texts like in a webhook.

    :param types: at most 20.
    :param undelivered: only events that could not be delivered to an endpoint.
    """
    wanted: EventListParams = {"types": list(types), "created": {"gte": int(since.timestamp())}, "limit": PAGE_SIZE}
    if undelivered:
        wanted["delivery_success"] = False
    if after is not None:
        wanted["starting_after"] = after
    listed = await gateway.call(gateway.sdk.v1.events.list_async(wanted))
    texts = [json.dumps(event.to_dict(for_json=True)) for event in listed.data]
    return Page(items=texts, next=listed.data[-1].id if listed.has_more and listed.data else None)


async def subscriptions(
    gateway: Gateway, *, after: str | None, with_customers: bool
) -> tuple[Page[StripeSubscriptionState], dict[str, StripeCustomerState]]:
    """List subscriptions of any status, without their invoices, and with their customers if requested."""
    wanted: dict[str, Any] = {"status": "all", "limit": PAGE_SIZE}
    if gateway.test_clock is not None:
        wanted["test_clock"] = gateway.test_clock  # otherwise Stripe omits customers on a test clock
    if with_customers:
        wanted["expand"] = ["data.customer"]
    if after is not None:
        wanted["starting_after"] = after
    listed = await gateway.read("/v1/subscriptions", **wanted)
    whole_ones = [one.customer for one in listed.data if not isinstance(one.customer, str)]  # if they were expanded
    customers = {one.id: translate.customer(one) for one in whole_ones}
    seen = [translate.subscription(one, []) for one in listed.data]
    return Page(items=seen, next=listed.data[-1].id if listed.has_more and listed.data else None), customers


async def subscription(gateway: Gateway, stripe_id: str) -> StripeSubscriptionState:
    """
    Fetch a subscription without its invoices.

    :raises Gone: it does not exist.
    """
    return translate.subscription(await gateway.call(gateway.sdk.v1.subscriptions.retrieve_async(stripe_id)), [])


async def invoices(gateway: Gateway, *, since: datetime | None, after: str | None) -> Page[ListedInvoice]:
    """List invoices with their payments."""
    wanted: dict[str, object] = {"expand": list(EXPANDED), "limit": PAGE_SIZE}
    if since is not None:
        wanted["created"] = {"gte": int(since.timestamp())}
    if after is not None:
        wanted["starting_after"] = after
    listed = await gateway.read("/v1/invoices", **wanted)
    return Page(
        items=[translate.listed_invoice(await whole(gateway, invoice)) for invoice in listed.data],
        next=listed.data[-1].id if listed.has_more and listed.data else None,
    )


async def refunds(gateway: Gateway, *, since: datetime | None, after: str | None) -> Page[ListedRefund]:
    """List refunds with their payments."""
    wanted: RefundListParams = {"limit": PAGE_SIZE}
    if since is not None:
        wanted["created"] = {"gte": int(since.timestamp())}
    if after is not None:
        wanted["starting_after"] = after
    listed = await gateway.call(gateway.sdk.v1.refunds.list_async(wanted))
    return Page(
        items=[
            ListedRefund(
                refund=translate.refund(refund),
                payment_id=translate.id_or_none(refund.payment_intent) or translate.id_or_none(refund.charge),
            )
            for refund in listed.data
        ],
        next=listed.data[-1].id if listed.has_more and listed.data else None,
    )


async def disputes(gateway: Gateway, *, since: datetime | None, after: str | None) -> Page[StripeDisputeState]:
    """List disputes."""
    wanted: DisputeListParams = {"limit": PAGE_SIZE}
    if since is not None:
        wanted["created"] = {"gte": int(since.timestamp())}
    if after is not None:
        wanted["starting_after"] = after
    listed = await gateway.call(gateway.sdk.v1.disputes.list_async(wanted))
    return Page(
        items=[translate.dispute(one) for one in listed.data],
        next=listed.data[-1].id if listed.has_more and listed.data else None,
    )


async def refund(gateway: Gateway, stripe_id: str) -> StripeRefundState:
    """
    Fetch a refund.

    :raises Gone: it does not exist.
    """
    return translate.refund(await gateway.call(gateway.sdk.v1.refunds.retrieve_async(stripe_id)))
