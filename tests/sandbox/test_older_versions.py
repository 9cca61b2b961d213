"""Events for webhook endpoints on an older API version, and thin events."""

import json
from typing import Any

import pytest
import stripe

from tests.sandbox.client import HOUR, OPENING, YEAR, Receiver, SandboxAccount


async def older_endpoint(account: SandboxAccount, receiver: Receiver) -> Any:
    """Add a webhook endpoint on version 2024-06-20."""
    return await account.v1.webhook_endpoints.create_async(
        {"url": receiver.url, "enabled_events": ["*"], "api_version": "2024-06-20"}
    )


async def received(account: SandboxAccount, receiver: Receiver, kind: str) -> Any:
    """Return the newest event of a type as the endpoint received it. Deliveries arrive in any order."""
    newest = (await account.event(kind)).id
    await account.idle()
    events = [json.loads(body) for body, _ in receiver.received]
    return next(event for event in events if event["id"] == newest)


async def test_an_older_invoice_has_its_subscription_and_payment_at_the_top_level(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await older_endpoint(account, receiver)
    subscription = await account.subscribe()
    event = await received(account, receiver, "invoice.paid")
    invoice = event["data"]["object"]
    assert event["api_version"] == "2024-06-20"
    assert (invoice["subscription"], invoice["paid"]) == (subscription.id, True)
    assert invoice["payment_intent"].startswith("pi_")
    assert invoice["charge"].startswith("ch_")
    assert not invoice.keys() & {"parent", "total_taxes", "amount_overpaid"}
    line = invoice["lines"]["data"][0]
    assert (line["type"], line["price"]["unit_amount"], line["proration"]) == ("subscription", 4900, False)


async def test_an_older_subscription_has_its_period_at_the_top_level(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await older_endpoint(account, receiver)
    clock = await account.clock()
    await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    event = await received(account, receiver, "customer.subscription.updated")
    subscription = event["data"]["object"]
    assert (subscription["current_period_start"], subscription["current_period_end"]) == (
        OPENING + YEAR,
        OPENING + 2 * YEAR,
    )
    assert "current_period_end" not in subscription["items"]["data"][0]


async def test_older_charges_and_payment_intents_name_their_invoice(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await older_endpoint(account, receiver)
    subscription = await account.subscribe()
    for kind in ("charge.succeeded", "payment_intent.succeeded"):
        event = await received(account, receiver, kind)
        assert event["data"]["object"]["invoice"] == subscription.latest_invoice


async def test_an_older_credit_note_has_one_refund(account: SandboxAccount, receiver: Receiver) -> None:
    await older_endpoint(account, receiver)
    subscription = await account.subscribe()
    note = await account.v1.credit_notes.create_async(
        {"invoice": subscription.latest_invoice, "amount": 900, "refund_amount": 900}
    )
    event = await received(account, receiver, "credit_note.created")
    assert event["data"]["object"]["refund"] == note.refunds[0].refund


async def test_the_api_lists_events_in_the_current_version(account: SandboxAccount, receiver: Receiver) -> None:
    await older_endpoint(account, receiver)
    await account.subscribe()
    assert (await account.event("invoice.paid")).api_version == stripe.api_version


async def test_a_thin_event_is_signed_and_has_no_data(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    related = {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}
    answer = await account.control.post("/_sandbox/thin_events", json={"type": "v1.test", "related_object": related})
    assert answer.json()["statuses"] == [200]
    body, signature = receiver.received[0]
    assert stripe.WebhookSignature.verify_header(body.decode(), signature, endpoint.secret)
    event = json.loads(body)
    assert (event["object"], event["type"], event["related_object"]) == ("v2.core.event", "v1.test", related)
    assert "data" not in event


async def test_an_unknown_version_is_rejected(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="2024-06-20"):
        await account.v1.webhook_endpoints.create_async(
            {"url": "https://a.example", "enabled_events": ["*"], "api_version": "2023-10-16"}
        )
