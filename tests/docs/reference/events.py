"""docs/reference/events.md, from the table of event types."""

import json

from app.domain import events
from app.gateway.events import refetch_request
from tests.docs.reference.markdown import NOTE, table

INTRODUCTION = """\
# Stripe events

The [webhook endpoint](../operate/going-live.md#webhook-endpoint) at Stripe subscribes to the types below. An event only says
which object may have changed: a worker fetches the current state of that object from Stripe. See
[Webhooks](../integrate/webhooks.md).
"""
LIST = """\
## Types for the endpoint { #endpoint }

```text
"""
FETCHED: dict[str, str] = {
    events.RefetchKind.SUBSCRIPTION: "the subscription, its invoices and their payments",
    events.RefetchKind.PAYMENT: "the payment, its refunds, disputes and fraud warnings",
    events.RefetchKind.CHARGE: "the charge, then its payment",
    events.RefetchKind.INVOICE: "the invoice, then its subscription",
    events.RefetchKind.PENDING_PAYMENT: "the invoice of the payment, then its subscription",
    events.RefetchKind.CREDITED_INVOICE: "the invoice, and the refunds of its payments",
    events.RefetchKind.CHECKOUT: "the checkout session",
    events.RefetchKind.CUSTOMER: "the customer",
}
IDS = {  # of an object that names every other one
    "id": "obj_1",
    "invoice": "in_1",
    "payment_intent": "pi_1",
    "parent": {"subscription_details": {"subscription": "sub_1"}},
}


def page() -> str:
    """Return the page."""
    rows = ((f"`{kind}`", _fetched(kind)) for kind in events.TYPES)
    types = "\n".join(events.TYPES)
    return "\n".join([NOTE, INTRODUCTION, table(["type", "what is fetched"], rows), f"{LIST}{types}\n```\n"])


def _fetched(kind: str) -> str:
    """Return what is fetched for a type of event."""
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": IDS}}
    key = refetch_request(json.dumps(event)).key
    return FETCHED[key.partition(":")[0]] if key else "nothing: the event is stored as ignored"
