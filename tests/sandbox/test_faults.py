"""Fault injection."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
import stripe

from tests.sandbox.client import SandboxAccount
from tests.support.timeouts import TIMEOUT


async def names(account: SandboxAccount) -> list[str]:
    return [customer.name for customer in (await account.v1.customers.list_async()).data]


async def test_a_response_lost_after_the_effect_is_replayed_to_the_same_key(account: SandboxAccount) -> None:
    await account.fault(method="POST", path="/v1/customers", when="after", action="drop")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "lost"}}
    with pytest.raises(httpx2.TransportError):
        await account.request("POST", "/v1/customers", **send)
    again = await account.request("POST", "/v1/customers", **send)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["name"] == "Ada"
    assert await names(account) == ["Ada"]


async def test_a_request_lost_before_the_effect_leaves_its_key_unused(account: SandboxAccount) -> None:
    await account.fault(path="/v1/customers", when="before", action="drop")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "lost"}}
    with pytest.raises(httpx2.TransportError):
        await account.request("POST", "/v1/customers", **send)
    assert await names(account) == []
    assert "idempotent-replayed" not in (await account.request("POST", "/v1/customers", **send)).headers


async def test_the_sdk_recovers_a_lost_response_with_its_own_retry(account: SandboxAccount) -> None:
    await account.fault(path="/v1/customers", when="after", action="drop", times=2)
    with pytest.raises(stripe.APIConnectionError):
        await account.v1.customers.create_async({"name": "Ada"})
    await account.v1.customers.create_async({"name": "Bob"}, {"max_network_retries": 2})
    assert await names(account) == ["Bob", "Ada"]


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["Ada"])])
async def test_an_injected_error_can_come_before_or_after_the_effect(
    account: SandboxAccount, when: str, made: list[str]
) -> None:
    await account.fault(path="/v1/cust*", when=when, action="status", status=503, body={"error": {"type": "api_error"}})
    answer = await account.request("POST", "/v1/customers", data={"name": "Ada"})
    assert (answer.status_code, answer.json()) == (503, {"error": {"type": "api_error"}})
    assert await names(account) == made


async def test_conflicts_and_rate_limits_are_not_stored_for_the_key(account: SandboxAccount) -> None:
    await account.fault(path="/v1/customers", action="status", status=429)
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "limited"}}
    assert (await account.request("POST", "/v1/customers", **send)).status_code == 429
    assert (await account.request("POST", "/v1/customers", **send)).status_code == 200


async def wait_for_hit(account: SandboxAccount) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not (await account.control.get("/_sandbox/faults")).json()["data"][0]["hits"]:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("when", "meanwhile"), [("before", []), ("after", ["Ada"])])
async def test_a_held_call_continues_when_the_fault_is_deleted(
    account: SandboxAccount, when: str, meanwhile: list[str]
) -> None:
    fault = await account.fault(method="POST", path="/v1/customers", when=when, action="hold")
    held = asyncio.create_task(account.request("POST", "/v1/customers", data={"name": "Ada"}))
    await wait_for_hit(account)
    assert await names(account) == meanwhile
    await account.control.delete(f"/_sandbox/faults/{fault}")
    assert (await held).status_code == 200
    assert await names(account) == ["Ada"]


async def test_a_held_call_has_its_effect_even_if_the_client_disconnects(account: SandboxAccount) -> None:
    fault = await account.fault(method="POST", path="/v1/customers", when="after", action="hold")
    held = asyncio.create_task(account.request("POST", "/v1/customers", data={"name": "Ada"}))
    await wait_for_hit(account)
    held.cancel()
    await asyncio.wait({held})
    await account.control.delete(f"/_sandbox/faults/{fault}")
    assert await names(account) == ["Ada"]


@pytest.mark.parametrize("action", ["cut", "stall"])
async def test_a_response_can_break_off_in_the_middle_of_its_body(account: SandboxAccount, action: str) -> None:
    await account.fault(method="POST", path="/v1/customers", action=action, seconds=0.3)
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "broken"}}
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await account.request("POST", "/v1/customers", **send)
    assert await names(account) == ["Ada"], "the request had its effect"
    assert (await account.request("POST", "/v1/customers", **send)).json()["name"] == "Ada"


async def test_a_fault_applies_the_given_number_of_times(account: SandboxAccount) -> None:
    await account.fault(method="GET", path="/v1/account", action="status", times=2)
    statuses = [(await account.request("GET", "/v1/account")).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert (await account.control.get("/_sandbox/faults")).json()["data"][0]["hits"] == 2
    assert (await account.control.delete("/_sandbox/faults")).json() == {"data": []}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({}, "path is required", id="no path"),
        pytest.param({"path": "/v1/refunds"}, "action must be one of", id="no action"),
        pytest.param({"path": "/v1/refunds", "action": "explode"}, "action must be one of", id="unknown action"),
        pytest.param({"path": "/v1/x", "action": "drop", "when": "later"}, "when must be", id="unknown when"),
        pytest.param(
            {"path": "/v1/x", "action": "drop", "times": 0}, "times must be a positive integer", id="no times"
        ),
        pytest.param({"path": "/v1/x", "action": "status", "status": 302}, "status must be an error", id="no error"),
        pytest.param(
            {"path": "/v1/x", "action": "status", "status": 200}, "requires a body", id="an answer of nothing"
        ),
        pytest.param({"path": "/v1/x", "action": "drop", "colour": 1}, "Unknown field 'colour'", id="unknown field"),
        pytest.param({"path": "/v1/x", "action": "slow", "when": "before"}, "when must be 'after'", id="slow before"),
        pytest.param({"action": "outage", "when": "after"}, "when must be 'before'", id="an outage after"),
        pytest.param({"path": "/v1/x", "action": "drop", "probability": 2}, "probability must be a", id="too probable"),
        pytest.param({"path": "/v1/x", "action": "drop", "should_retry": 1}, "should_retry must be", id="retry how"),
    ],
)
async def test_invalid_faults_are_rejected(account: SandboxAccount, wanted: dict[str, Any], expected: str) -> None:
    answer = await account.control.post("/_sandbox/faults", json=wanted)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]["message"]
    assert (await account.control.get("/_sandbox/faults")).json()["data"] == []


@pytest.mark.parametrize(("should_retry", "asked"), [(None, 1), (False, 1), (True, 2)])
async def test_the_sdk_retries_a_429_only_with_should_retry(
    account: SandboxAccount, should_retry: bool | None, asked: int
) -> None:
    await account.fault(path="/v1/account", action="status", status=429, should_retry=should_retry)
    call = account.v1.accounts.retrieve_current_async({}, {"max_network_retries": 2})
    if asked == 1:
        with pytest.raises(stripe.RateLimitError) as caught:
            await call
        assert json.loads(str(caught.value.http_body))["error"]["code"] == "rate_limit"
    else:
        await call
    assert len((await account.control.get("/_sandbox/requests")).json()["data"]) == asked


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["Ada"])])
async def test_an_html_page_can_replace_json(account: SandboxAccount, when: str, made: list[str]) -> None:
    await account.fault(method="POST", path="/v1/customers", action="html", when=when)
    with pytest.raises(stripe.APIError, match="502 Bad Gateway"):
        await account.v1.customers.create_async({"name": "Ada"})
    assert await names(account) == made


async def test_truncated_json_is_complete_when_the_key_is_repeated(account: SandboxAccount) -> None:
    await account.fault(method="POST", path="/v1/customers", action="truncate")
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "cut"}}
    cut = await account.request("POST", "/v1/customers", **send)
    whole = await account.request("POST", "/v1/customers", **send)
    assert cut.status_code == 200
    assert whole.text.startswith(cut.text)
    assert len(cut.text) == len(whole.text) // 2
    assert await names(account) == ["Ada"]


async def test_the_sdk_reports_truncated_json_as_an_api_error(account: SandboxAccount) -> None:
    await account.fault(method="GET", path="/v1/customers", action="truncate")
    with pytest.raises(stripe.APIError, match="Invalid response body"):
        await account.v1.customers.list_async()


async def test_a_slow_response_arrives_complete(account: SandboxAccount) -> None:
    await account.fault(path="/v1/account", action="slow", seconds=0.4, times=2)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await account.request("GET", "/v1/account")).json()["object"] == "account"
    assert loop.time() - begun >= 0.35
    with pytest.raises(httpx2.TimeoutException):
        async with asyncio.timeout(TIMEOUT):
            await account.request("GET", "/v1/account", timeout=0.01)


async def test_all_calls_fail_during_an_outage(account: SandboxAccount) -> None:
    fault = await account.fault(action="outage")
    for path in ("/v1/account", "/v1/customers", "/v1/nonsense"):
        assert (await account.request("GET", path)).status_code == 503
    assert (await account.request("POST", "/v1/customers", data={"name": "Ada"})).status_code == 503
    await account.control.delete(f"/_sandbox/faults/{fault}")
    assert await names(account) == []


async def test_an_outage_ends_after_its_duration(account: SandboxAccount) -> None:
    fault = await account.fault(action="outage", seconds=3600)
    assert (await account.request("GET", "/v1/account")).status_code == 503
    await account.control.delete(f"/_sandbox/faults/{fault}")
    await account.fault(action="outage", seconds=0.2)
    async with asyncio.timeout(TIMEOUT):
        while (await account.request("GET", "/v1/account")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_probable_fault_is_repeatable_with_the_same_seed(account: SandboxAccount) -> None:
    async def run(seed: int) -> list[int]:
        await account.settings(seed=seed)
        fault = await account.fault(path="/v1/account", action="status", probability=0.5)
        statuses = [(await account.request("GET", "/v1/account")).status_code for _ in range(40)]
        await account.control.delete(f"/_sandbox/faults/{fault}")
        return statuses

    first = await run(5)
    assert 8 < first.count(500) < 32
    assert first != await run(6)
