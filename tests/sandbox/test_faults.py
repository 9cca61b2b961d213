"""Faults on request: lost replies, calls that hang, errors of Stripe's own."""

import asyncio
import json
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
        pytest.param({"path": "/v1/x", "action": "status", "status": 302}, "status is an error", id="no error"),
        pytest.param({"path": "/v1/x", "action": "status", "status": 200}, "needs the body", id="an answer of nothing"),
        pytest.param({"path": "/v1/x", "action": "drop", "colour": 1}, "no field 'colour'", id="unknown field"),
        pytest.param({"path": "/v1/x", "action": "slow", "when": "before"}, "when is 'after'", id="slow before"),
        pytest.param({"action": "outage", "when": "after"}, "when is 'before'", id="an outage after"),
        pytest.param({"path": "/v1/x", "action": "drop", "probability": 2}, "probability is a", id="too probable"),
        pytest.param({"path": "/v1/x", "action": "drop", "should_retry": 1}, "should_retry is", id="retry how"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(shop: Shop, wanted: dict[str, Any], told: str) -> None:
    answer = await shop.control.post("/_sandbox/faults", json=wanted)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]
    assert (await shop.control.get("/_sandbox/faults")).json()["data"] == []


@pytest.mark.parametrize(("should_retry", "asked"), [(None, 1), (False, 1), (True, 2)])
async def test_the_sdk_asks_again_after_a_429_only_if_it_is_told_to(
    shop: Shop, should_retry: bool | None, asked: int
) -> None:
    await shop.fault(path="/v1/account", action="status", status=429, should_retry=should_retry)
    call = shop.v1.accounts.retrieve_current_async({}, {"max_network_retries": 2})
    if asked == 1:
        with pytest.raises(stripe.RateLimitError) as caught:
            await call
        assert json.loads(str(caught.value.http_body))["error"]["code"] == "rate_limit"
    else:
        await call
    assert len((await shop.control.get("/_sandbox/requests")).json()["data"]) == asked


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["Ada"])])
async def test_a_page_comes_where_json_was_expected(shop: Shop, when: str, made: list[str]) -> None:
    await shop.fault(method="POST", path="/v1/customers", action="html", when=when)
    with pytest.raises(stripe.APIError, match="502 Bad Gateway"):
        await shop.v1.customers.create_async({"name": "Ada"})
    assert await names(shop) == made


async def test_json_is_cut_short_after_the_effect_and_whole_for_the_same_key(shop: Shop) -> None:
    await shop.fault(method="POST", path="/v1/customers", action="truncate")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "cut"}}
    cut = await shop.raw("POST", "/v1/customers", **send)
    whole = await shop.raw("POST", "/v1/customers", **send)
    assert cut.status_code == 200
    assert whole.text.startswith(cut.text)
    assert len(cut.text) == len(whole.text) // 2
    assert await names(shop) == ["Ada"]


async def test_the_sdk_tells_json_that_is_cut_short_as_an_api_error(shop: Shop) -> None:
    await shop.fault(method="GET", path="/v1/customers", action="truncate")
    with pytest.raises(stripe.APIError, match="Invalid response body"):
        await shop.v1.customers.list_async()


async def test_a_slow_body_comes_whole_to_who_waits(shop: Shop) -> None:
    await shop.fault(path="/v1/account", action="slow", seconds=0.4, times=2)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await shop.raw("GET", "/v1/account")).json()["object"] == "account"
    assert loop.time() - begun >= 0.35
    with pytest.raises(httpx2.TimeoutException):
        async with asyncio.timeout(0.1):
            await shop.raw("GET", "/v1/account", timeout=0.01)


async def test_in_an_outage_everything_fails_until_it_is_deleted(shop: Shop) -> None:
    fault = await shop.fault(action="outage")
    for path in ("/v1/account", "/v1/customers", "/v1/nonsense"):
        assert (await shop.raw("GET", path)).status_code == 503
    assert (await shop.raw("POST", "/v1/customers", data={"name": "Ada"})).status_code == 503
    await shop.control.delete(f"/_sandbox/faults/{fault}")
    assert await names(shop) == []


async def test_an_outage_ends_after_its_seconds(shop: Shop) -> None:
    await shop.fault(action="outage", seconds=0.2)
    assert (await shop.raw("GET", "/v1/account")).status_code == 503
    await asyncio.sleep(0.25)
    assert (await shop.raw("GET", "/v1/account")).status_code == 200


async def test_a_fault_of_some_probability_hits_alike_for_the_same_seed(shop: Shop) -> None:
    async def run(seed: int) -> list[int]:
        await shop.settings(seed=seed)
        fault = await shop.fault(path="/v1/account", action="status", probability=0.5)
        statuses = [(await shop.raw("GET", "/v1/account")).status_code for _ in range(40)]
        await shop.control.delete(f"/_sandbox/faults/{fault}")
        return statuses

    first = await run(5)
    assert 8 < first.count(500) < 32
    assert first != await run(6)
