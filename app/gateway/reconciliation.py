"""
Stripe's lists, 100 objects in a call, which a reconciliation compares with our records.

Each function returns the next page of a range, so that an interrupted comparison can continue.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from app.domain.customers import StripeCustomerState
from app.domain.disputes import StripeDisputeState
from app.domain.reconciliation import ListedInvoice, ListedRefund, ListedSubscription
from app.domain.refunds import StripeRefundState
from app.domain.subscriptions import StripeSubscriptionState
from app.domain.sweep_ranges import FROM_THE_BEGINNING, Listed, ListPage, Range
from app.gateway import translate
from app.gateway.client import Gateway, Gone
from app.gateway.subscriptions import EXPANDED, whole

PAGE_SIZE = 100  # Stripe's maximum
CARD = "default_payment_method"  # of a subscription; Checkout sets it
MAX_EVENT_TYPES = 20  # in one request: Stripe's maximum
T = TypeVar("T")


async def events(gateway: Gateway, types: Sequence[str], range_: Range, *, undelivered: bool) -> ListPage[str]:
    """
    List Stripe's events of the last 30 days, as JSON texts like in a webhook.

    :param types: at most 20.
    :param undelivered: only events that could not be delivered to an endpoint.
    """
    wanted: dict[str, Any] = {"types": list(types)}
    if undelivered:
        wanted["delivery_success"] = False
    return _translated(await _page(gateway, "/v1/events", range_, **wanted), json.dumps)


async def subscriptions(gateway: Gateway, range_: Range, *, with_customers: bool) -> ListPage[ListedSubscription]:
    """List subscriptions of any status, without their invoices, and with their customers if requested."""
    wanted: dict[str, Any] = {"status": "all", "expand": [f"data.{CARD}"]}
    if gateway.test_clock is not None:
        wanted["test_clock"] = gateway.test_clock  # otherwise Stripe omits customers on a test clock
    if with_customers:
        wanted["expand"].append("data.customer")
    return _translated(await _page(gateway, "/v1/subscriptions", range_, **wanted), _listed_subscription)


def _listed_subscription(seen: Any) -> ListedSubscription:
    customer: StripeCustomerState | None = None
    if not isinstance(seen.customer, str):  # it was expanded
        customer = translate.customer(seen.customer)
    return ListedSubscription(state=translate.subscription(seen, []), customer=customer)


async def subscription(gateway: Gateway, stripe_id: str) -> StripeSubscriptionState:
    """
    Fetch a subscription without its invoices.

    :raises Gone: it does not exist.
    """
    path = f"/v1/subscriptions/{quote(stripe_id, safe='')}"
    return translate.subscription(await gateway.read(path, expand=[CARD, "customer"]), [])


async def invoices(gateway: Gateway, range_: Range) -> ListPage[ListedInvoice]:
    """List invoices with their payments."""
    page = await _page(gateway, "/v1/invoices", range_, expand=list(EXPANDED))
    for invoice in page.listed:
        await whole(gateway, invoice.item)
    return _translated(page, translate.listed_invoice)


async def refunds(gateway: Gateway, range_: Range) -> ListPage[ListedRefund]:
    """List refunds with their payments."""
    return _translated(await _page(gateway, "/v1/refunds", range_), _listed_refund)


def _listed_refund(refund: Any) -> ListedRefund:
    payment_id = translate.id_or_none(refund.payment_intent) or translate.id_or_none(refund.charge)
    return ListedRefund(refund=translate.refund(refund), payment_id=payment_id)


async def disputes(gateway: Gateway, range_: Range) -> ListPage[StripeDisputeState]:
    """List disputes."""
    return _translated(await _page(gateway, "/v1/disputes", range_), translate.dispute)


async def refund(gateway: Gateway, stripe_id: str) -> StripeRefundState:
    """
    Fetch a refund.

    :raises Gone: it does not exist.
    """
    return translate.refund(await gateway.call(gateway.sdk.v1.refunds.retrieve_async(stripe_id)))


async def _page(gateway: Gateway, path: str, range_: Range, **wanted: Any) -> ListPage[Any]:
    """Return the next page of a range of a list, as plain JSON."""
    wanted["limit"] = PAGE_SIZE
    created: dict[str, int] = {}
    if range_.since > FROM_THE_BEGINNING:
        created["gte"] = range_.since
    if range_.until is not None:
        created["lt"] = range_.until
    if range_.after is None:
        page = await gateway.read(path, **wanted, **_filter(created))
    else:
        try:
            page = await gateway.read(path, **wanted, **_filter(created), starting_after=range_.after)
        except Gone:  # such as a draft invoice that was deleted since; what was created in that second is listed again
            page = await gateway.read(path, **wanted, created={**created, "lt": range_.end})
    return ListPage(
        listed=[Listed(id=one.id, created=one.created, item=one) for one in page.data], has_more=page.has_more
    )


def _filter(created: dict[str, int]) -> dict[str, Any]:
    return {"created": created} if created else {}


def _translated(page: ListPage[Any], translated: Callable[[Any], T]) -> ListPage[T]:
    listed = [Listed(id=one.id, created=one.created, item=translated(one.item)) for one in page.listed]
    return ListPage(listed=listed, has_more=page.has_more)
