"""Events and webhook deliveries."""

import asyncio
import json
from typing import Any

import pytest
import stripe

from tests.sandbox.client import Receiver, SandboxAccount


def event_types(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for body, _ in receiver.received]


async def test_events_are_delivered_with_a_valid_signature(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    customer = await account.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "key-1"})
    await account.idle()
    [(body, signature)] = receiver.received
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret)
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert (event.api_version, event.livemode) == ("2026-10-28.endive", False)
    assert event.request is not None
    assert event.request.idempotency_key == "key-1"
    assert event.pending_webhooks == 1
    assert (await account.v1.events.retrieve_async(event.id)).pending_webhooks == 0


async def test_a_wrong_secret_does_not_verify(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await account.customer(method=None)
    await account.idle()
    body, signature = receiver.received[0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")


async def test_an_endpoint_receives_only_its_enabled_events(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url, "customer.deleted")
    customer = await account.customer(method=None)
    await account.v1.customers.delete_async(customer.id)
    await account.idle()
    assert event_types(receiver) == ["customer.deleted"]


async def test_disabled_and_deleted_endpoints_receive_nothing(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in await account.v1.webhook_endpoints.retrieve_async(endpoint.id)
    assert (await account.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})).status == "disabled"
    await account.customer(method=None)
    await account.v1.webhook_endpoints.delete_async(endpoint.id)
    await account.customer(method=None)
    await account.idle()
    assert receiver.received == []


async def test_a_failed_delivery_is_retried_with_a_new_signature(account: SandboxAccount, receiver: Receiver) -> None:
    await account.settings(retry_seconds=[0.05, 0.05])
    endpoint = await account.add_endpoint(receiver.url)
    receiver.answers = [500, 302, 200]
    await account.customer(method=None)
    await account.idle()
    assert len(receiver.received) == 3
    assert len({body for body, _ in receiver.received}) == 1
    made = (await account.control.get("/_sandbox/deliveries")).json()["data"]
    assert [(each["attempt"], each["status"], each["endpoint"]) for each in made] == [
        (1, 500, endpoint.id),
        (2, 302, endpoint.id),
        (3, 200, endpoint.id),
    ]


async def test_missed_events_can_be_listed_and_redelivered(account: SandboxAccount, receiver: Receiver) -> None:
    await account.settings(retry_seconds=[0.01])
    await account.add_endpoint(receiver.url)
    receiver.answers = [500, 500]
    await account.customer(method=None)
    await account.idle()
    missed = await account.v1.events.list_async({"delivery_success": False, "types": ["customer.created"]})
    assert [event.pending_webhooks for event in missed.data] == [1]
    sent = await account.control.post(f"/_sandbox/events/{missed.data[0].id}/deliver")
    assert [each["status"] for each in sent.json()["data"]] == [200]
    assert (await account.v1.events.list_async({"delivery_success": False})).data == []


async def test_deliveries_can_be_held_and_sent_in_another_order(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await account.settings(deliver=False)
    customer = await account.customer(method=None)
    await account.v1.customers.update_async(customer.id, {"name": "Ada"})
    assert (await account.idle())["held"] == 2
    assert receiver.received == []
    later = await account.event("customer.updated")
    await account.control.post(f"/_sandbox/events/{later.id}/deliver", json={})
    assert event_types(receiver) == ["customer.updated"]
    await account.settings(deliver=True)
    await account.idle()
    assert sorted(event_types(receiver)) == ["customer.created", "customer.updated", "customer.updated"]


async def test_held_deliveries_can_be_discarded(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await account.settings(deliver=False)
    await account.customer(method=None)
    await account.control.delete("/_sandbox/deliveries")
    await account.settings(deliver=True)
    assert (await account.idle())["held"] == 0
    assert receiver.received == []
    assert len((await account.v1.events.list_async({"delivery_success": False})).data) == 1


async def test_a_purchase_sends_many_events(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    await account.pay(await account.checkout())
    await account.idle()
    expected = event_types(receiver)
    assert expected.count("checkout.session.completed") == 1
    assert sorted(expected) == sorted(await account.types())
    for body, signature in receiver.received:
        assert stripe.Webhook.construct_event(body, signature, endpoint.secret)


async def test_an_unreachable_endpoint_does_no_harm(account: SandboxAccount) -> None:
    await account.settings(retry_seconds=[0.01])
    await account.add_endpoint("http://127.0.0.1:9/nobody")
    await account.customer(method=None)
    await account.idle()
    made = (await account.control.get("/_sandbox/deliveries")).json()["data"]
    assert [each["status"] for each in made] == [None, None]
    assert "Connect" in made[0]["error"]


async def test_idle_returns_the_number_of_deliveries_so_far(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url, "customer.created")
    before = (await account.idle())["planned"]
    assert (await account.idle())["planned"] == before
    await account.customer(method=None)
    assert (await account.idle())["planned"] == before + 1


async def test_idle_returns_408_after_its_timeout(account: SandboxAccount) -> None:
    await account.settings(retry_seconds=[30])
    await account.add_endpoint("http://127.0.0.1:9/nobody")
    await account.customer(method=None)
    answer = await account.control.get("/_sandbox/idle", params={"timeout": "0.1"})
    assert answer.status_code == 408
    assert "1 deliveries are in progress" in answer.json()["error"]["message"]
    await account.control.delete("/_sandbox/deliveries")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({"types": ["product.*", "price.created"]}, ["price.created", "product.created"], id="types"),
        pytest.param({"type": "customer.created"}, ["customer.created"], id="one type"),
        pytest.param({"created": {"gt": 4_000_000_000}}, [], id="later than now"),
        pytest.param({"limit": 1}, ["customer.created"], id="the newest"),
    ],
)
async def test_events_can_be_listed_by_type_and_time(
    account: SandboxAccount, params: dict[str, Any], expected: list[str]
) -> None:
    await account.price()
    await account.customer(method=None)
    assert [event.type for event in (await account.v1.events.list_async(params)).data] == expected


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"types": ["customer.created"] * 21}, id="more than 20 types"),
        pytest.param({"types": ["customer.created"], "type": "customer.created"}, id="a type beside types"),
    ],
)
async def test_events_can_be_listed_by_at_most_20_types(account: SandboxAccount, params: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.events.list_async(params)
    assert caught.value.param == "types"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"url": "nowhere", "enabled_events": ["*"]}, "url", id="no url"),
        pytest.param({"url": "https://a.example", "enabled_events": ["nonsense"]}, "enabled_events[0]", id="no event"),
        pytest.param({"url": "https://a.example"}, "enabled_events", id="nothing to hear"),
        pytest.param(
            {"url": "https://a.example", "enabled_events": ["*"], "api_version": "2020-08-27"},
            "api_version",
            id="version",
        ),
    ],
)
async def test_invalid_webhook_endpoints_are_rejected(
    account: SandboxAccount, params: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.webhook_endpoints.create_async(params)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "wanted",
    [{"deliver": "no"}, {"tax_rate": -1}, {"after_retries": "shout"}, {"nonsense": 1}, {"retry_days": [0]}],
    ids=lambda wanted: next(iter(wanted)),
)
async def test_invalid_settings_are_rejected(account: SandboxAccount, wanted: dict[str, Any]) -> None:
    answer = await account.control.put("/_sandbox/settings", json=wanted)
    assert answer.status_code == 400
    assert (await account.control.get("/_sandbox/settings")).json()["deliver"] is True


async def test_deliveries_are_concurrent(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await asyncio.gather(*(account.v1.customers.create_async({"name": str(n)}) for n in range(20)))
    await account.idle()
    assert len(receiver.received) == 20
