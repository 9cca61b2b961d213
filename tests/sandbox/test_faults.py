"""Faults on request: lost replies, calls that hang, errors of Stripe's own."""

import asyncio
from typing import Any

import httpx2
import pytest
import stripe

from tests.sandbox.shop import Shop


async def names(shop: Shop) -> list[str]:
    return [customer.name for customer in (await shop.v1.customers.list_async()).data]


async def test_a_reply_lost_after_the_effect_is_given_again_to_the_same_key(shop: Shop) -> None:
    await shop.fault(method="POST", path="/v1/customers", when="after", action="drop")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "lost"}}
    with pytest.raises(httpx2.TransportError):
        await shop.raw("POST", "/v1/customers", **send)
    again = await shop.raw("POST", "/v1/customers", **send)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["name"] == "Ada"
    assert await names(shop) == ["Ada"]


async def test_a_request_lost_before_the_effect_has_none_and_its_key_is_free(shop: Shop) -> None:
    await shop.fault(path="/v1/customers", when="before", action="drop")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "lost"}}
    with pytest.raises(httpx2.TransportError):
        await shop.raw("POST", "/v1/customers", **send)
    assert await names(shop) == []
    assert "idempotent-replayed" not in (await shop.raw("POST", "/v1/customers", **send)).headers


async def test_the_sdk_tells_a_lost_reply_as_a_connection_error_and_its_own_retry_finds_the_effect(shop: Shop) -> None:
    await shop.fault(path="/v1/customers", when="after", action="drop", times=2)
    with pytest.raises(stripe.APIConnectionError):
        await shop.v1.customers.create_async({"name": "Ada"})
    await shop.v1.customers.create_async({"name": "Bob"}, {"max_network_retries": 2})
    assert await names(shop) == ["Bob", "Ada"]


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["Ada"])])
async def test_an_error_of_stripes_own_comes_before_or_after_the_effect(shop: Shop, when: str, made: list[str]) -> None:
    await shop.fault(path="/v1/cust*", when=when, action="status", status=503, body={"error": {"type": "api_error"}})
    answer = await shop.raw("POST", "/v1/customers", data={"name": "Ada"})
    assert (answer.status_code, answer.json()) == (503, {"error": {"type": "api_error"}})
    assert await names(shop) == made


async def test_a_conflict_or_a_limit_is_not_kept_under_the_key(shop: Shop) -> None:
    await shop.fault(path="/v1/customers", action="status", status=429)
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "limited"}}
    assert (await shop.raw("POST", "/v1/customers", **send)).status_code == 429
    assert (await shop.raw("POST", "/v1/customers", **send)).status_code == 200


@pytest.mark.parametrize(("when", "meanwhile"), [("before", []), ("after", ["Ada"])])
async def test_a_call_is_held_until_the_fault_is_deleted(shop: Shop, when: str, meanwhile: list[str]) -> None:
    fault = await shop.fault(method="POST", path="/v1/customers", when=when, action="hold")
    held = asyncio.create_task(shop.raw("POST", "/v1/customers", data={"name": "Ada"}))
    async with asyncio.timeout(5):
        while not (await shop.control.get("/_sandbox/faults")).json()["data"][0]["hits"]:
            await asyncio.sleep(0.01)
    assert await names(shop) == meanwhile
    await shop.control.delete(f"/_sandbox/faults/{fault}")
    assert (await held).status_code == 200
    assert await names(shop) == ["Ada"]


async def test_a_held_call_whose_client_goes_away_still_has_its_effect(shop: Shop) -> None:
    await shop.fault(method="POST", path="/v1/customers", when="after", action="hold", seconds=0.3)
    with pytest.raises(httpx2.TimeoutException):
        await shop.raw("POST", "/v1/customers", data={"name": "Ada"}, timeout=0.1)
    assert await names(shop) == ["Ada"]


async def test_a_fault_hits_as_often_as_it_is_told(shop: Shop) -> None:
    await shop.fault(method="GET", path="/v1/account", action="status", times=2)
    statuses = [(await shop.raw("GET", "/v1/account")).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert (await shop.control.get("/_sandbox/faults")).json()["data"][0]["hits"] == 2
    assert (await shop.control.delete("/_sandbox/faults")).json() == {"data": []}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        pytest.param({}, "needs a path", id="no path"),
        pytest.param({"path": "/v1/refunds"}, "action is one of", id="no action"),
        pytest.param({"path": "/v1/refunds", "action": "explode"}, "action is one of", id="unknown action"),
        pytest.param({"path": "/v1/x", "action": "drop", "when": "later"}, "when is", id="unknown when"),
        pytest.param({"path": "/v1/x", "action": "drop", "times": 0}, "times is a positive integer", id="no times"),
        pytest.param({"path": "/v1/x", "action": "status", "status": 200}, "status is an error", id="no error"),
        pytest.param({"path": "/v1/x", "action": "drop", "colour": 1}, "no field 'colour'", id="unknown field"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(shop: Shop, wanted: dict[str, Any], told: str) -> None:
    answer = await shop.control.post("/_sandbox/faults", json=wanted)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]
