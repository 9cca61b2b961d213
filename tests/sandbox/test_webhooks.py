"""Events: made for every change, signed, delivered, tried again, held, lost."""

import asyncio
import json
from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Receiver, Shop


def kinds(receiver: Receiver) -> list[str]:
    return [json.loads(body)["type"] for body, _ in receiver.received]


async def test_each_event_is_delivered_and_the_sdk_verifies_its_signature(shop: Shop, receiver: Receiver) -> None:
    endpoint = await shop.listen(receiver.url)
    customer = await shop.v1.customers.create_async({"name": "Ada"}, {"idempotency_key": "key-1"})
    await shop.idle()
    [(body, signature)] = receiver.received
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret)
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert (event.api_version, event.livemode) == ("2026-10-28.endive", False)
    assert event.request is not None
    assert event.request.idempotency_key == "key-1"
    assert event.pending_webhooks == 1
    assert (await shop.v1.events.retrieve_async(event.id)).pending_webhooks == 0


async def test_a_wrong_secret_does_not_verify(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await shop.customer(method=None)
    await shop.idle()
    body, signature = receiver.received[0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, "whsec_other")


async def test_an_endpoint_hears_only_what_it_listens_for(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url, "customer.deleted")
    customer = await shop.customer(method=None)
    await shop.v1.customers.delete_async(customer.id)
    await shop.idle()
    assert kinds(receiver) == ["customer.deleted"]


async def test_the_secret_is_shown_once_and_a_disabled_or_deleted_endpoint_hears_nothing(
    shop: Shop, receiver: Receiver
) -> None:
    endpoint = await shop.listen(receiver.url)
    assert endpoint.secret.startswith("whsec_")
    assert "secret" not in await shop.v1.webhook_endpoints.retrieve_async(endpoint.id)
    assert (await shop.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})).status == "disabled"
    await shop.customer(method=None)
    await shop.v1.webhook_endpoints.delete_async(endpoint.id)
    await shop.customer(method=None)
    await shop.idle()
    assert receiver.received == []


async def test_a_delivery_that_is_not_accepted_is_tried_again_signed_anew(shop: Shop, receiver: Receiver) -> None:
    await shop.settings(retry_seconds=[0.05, 0.05])
    endpoint = await shop.listen(receiver.url)
    receiver.answers = [500, 302, 200]
    await shop.customer(method=None)
    await shop.idle()
    assert len(receiver.received) == 3
    assert len({body for body, _ in receiver.received}) == 1
    made = (await shop.control.get("/_sandbox/deliveries")).json()["data"]
    assert [(each["attempt"], each["status"], each["endpoint"]) for each in made] == [
        (1, 500, endpoint.id),
        (2, 302, endpoint.id),
        (3, 200, endpoint.id),
    ]


async def test_what_was_missed_is_found_by_listing_and_can_be_sent_again(shop: Shop, receiver: Receiver) -> None:
    await shop.settings(retry_seconds=[0.01])
    await shop.listen(receiver.url)
    receiver.answers = [500, 500]
    await shop.customer(method=None)
    await shop.idle()
    missed = await shop.v1.events.list_async({"delivery_success": False, "types": ["customer.created"]})
    assert [event.pending_webhooks for event in missed.data] == [1]
    sent = await shop.control.post(f"/_sandbox/events/{missed.data[0].id}/deliver")
    assert [each["status"] for each in sent.json()["data"]] == [200]
    assert (await shop.v1.events.list_async({"delivery_success": False})).data == []


async def test_deliveries_can_be_held_and_sent_in_any_order(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await shop.settings(deliver=False)
    customer = await shop.customer(method=None)
    await shop.v1.customers.update_async(customer.id, {"name": "Ada"})
    assert (await shop.idle())["held"] == 2
    assert receiver.received == []
    later = await shop.event("customer.updated")
    await shop.control.post(f"/_sandbox/events/{later.id}/deliver", json={})
    assert kinds(receiver) == ["customer.updated"]
    await shop.settings(deliver=True)
    await shop.idle()
    assert sorted(kinds(receiver)) == ["customer.created", "customer.updated", "customer.updated"]


async def test_held_deliveries_can_be_lost(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await shop.settings(deliver=False)
    await shop.customer(method=None)
    await shop.control.delete("/_sandbox/deliveries")
    await shop.settings(deliver=True)
    assert (await shop.idle())["held"] == 0
    assert receiver.received == []
    assert len((await shop.v1.events.list_async({"delivery_success": False})).data) == 1


async def test_a_purchase_is_told_by_many_events_at_once(shop: Shop, receiver: Receiver) -> None:
    endpoint = await shop.listen(receiver.url)
    await shop.pay(await shop.checkout())
    await shop.idle()
    told = kinds(receiver)
    assert told.count("checkout.session.completed") == 1
    assert sorted(told) == sorted(await shop.types())
    for body, signature in receiver.received:
        assert stripe.Webhook.construct_event(body, signature, endpoint.secret)


async def test_an_endpoint_that_is_not_there_fails_without_harm(shop: Shop) -> None:
    await shop.settings(retry_seconds=[0.01])
    await shop.listen("http://127.0.0.1:9/nobody")
    await shop.customer(method=None)
    await shop.idle()
    made = (await shop.control.get("/_sandbox/deliveries")).json()["data"]
    assert [each["status"] for each in made] == [None, None]
    assert "Connect" in made[0]["error"]


async def test_idle_counts_the_deliveries_so_that_one_in_between_is_noticed(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url, "customer.created")
    before = (await shop.idle())["planned"]
    assert (await shop.idle())["planned"] == before
    await shop.customer(method=None)
    assert (await shop.idle())["planned"] == before + 1


async def test_idle_gives_up_after_its_timeout(shop: Shop) -> None:
    await shop.settings(retry_seconds=[30])
    await shop.listen("http://127.0.0.1:9/nobody")
    await shop.customer(method=None)
    answer = await shop.control.get("/_sandbox/idle", params={"timeout": "0.1"})
    assert answer.status_code == 408
    assert "1 deliveries are under way" in answer.json()["error"]["message"]
    await shop.control.delete("/_sandbox/deliveries")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({"types": ["product.*", "price.created"]}, ["price.created", "product.created"], id="types"),
        pytest.param({"type": "customer.created"}, ["customer.created"], id="one type"),
        pytest.param({"created": {"gt": 4_000_000_000}}, [], id="later than now"),
        pytest.param({"limit": 1}, ["customer.created"], id="the newest"),
    ],
)
async def test_events_are_listed_by_type_and_time(shop: Shop, params: dict[str, Any], expected: list[str]) -> None:
    await shop.price()
    await shop.customer(method=None)
    assert [event.type for event in (await shop.v1.events.list_async(params)).data] == expected


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"types": ["customer.created"] * 21}, id="more than 20 types"),
        pytest.param({"types": ["customer.created"], "type": "customer.created"}, id="a type beside types"),
    ],
)
async def test_events_are_listed_by_at_most_20_types_or_by_one(shop: Shop, params: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.events.list_async(params)
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
async def test_an_endpoint_that_makes_no_sense_is_refused(shop: Shop, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.webhook_endpoints.create_async(params)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "wanted",
    [{"deliver": "no"}, {"tax_rate": -1}, {"after_retries": "shout"}, {"nonsense": 1}, {"retry_days": [0]}],
    ids=lambda wanted: next(iter(wanted)),
)
async def test_settings_that_make_no_sense_are_refused(shop: Shop, wanted: dict[str, Any]) -> None:
    answer = await shop.control.put("/_sandbox/settings", json=wanted)
    assert answer.status_code == 400
    assert (await shop.control.get("/_sandbox/settings")).json()["deliver"] is True


async def test_deliveries_are_concurrent(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await asyncio.gather(*(shop.v1.customers.create_async({"name": str(n)}) for n in range(20)))
    await shop.idle()
    assert len(receiver.received) == 20
