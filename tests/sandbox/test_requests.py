"""Authentication and idempotency."""

import asyncio
import secrets

import httpx2
import pytest
import stripe

from tests.sandbox.client import SandboxAccount
from tests.support.timeouts import TIMEOUT


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(None, "You did not provide an API key", id="no key"),
        pytest.param("Bearer sk_live_1234567890", "The sandbox does not accept live keys", id="a live key"),
        pytest.param("Bearer pk_test_1234567890", "Invalid API Key provided: pk_test_****", id="a publishable key"),
        pytest.param("Basic !!!", "You did not provide an API key", id="broken Basic"),
    ],
)
async def test_requests_without_a_test_key_return_401(sandbox_url: str, header: str | None, expected: str) -> None:
    async with httpx2.AsyncClient(base_url=sandbox_url, timeout=TIMEOUT) as client:
        answer = await client.get("/v1/customers", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert expected in answer.json()["error"]["message"]


async def test_each_key_has_a_separate_account(account: SandboxAccount, sandbox_url: str) -> None:
    customer = await account.v1.customers.create_async({"name": "Ada"})
    async with httpx2.AsyncClient(base_url=sandbox_url, auth=(account.key, ""), timeout=TIMEOUT) as same:
        assert (await same.get(f"/v1/customers/{customer.id}")).status_code == 200
    async with httpx2.AsyncClient(base_url=sandbox_url, auth=(f"{account.key}x", ""), timeout=TIMEOUT) as other:
        assert (await other.get(f"/v1/customers/{customer.id}")).status_code == 404


async def test_other_api_versions_are_rejected(account: SandboxAccount) -> None:
    answer = await account.request("GET", "/v1/customers", headers={"Stripe-Version": "2020-08-27"})
    assert answer.status_code == 400
    assert "2020-08-27" in answer.json()["error"]["message"]


async def test_responses_include_the_request_id_and_the_version(account: SandboxAccount) -> None:
    answer = await account.request("POST", "/v1/customers", headers={"Idempotency-Key": "key-1"})
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2026-10-28.endive"
    assert answer.headers["idempotency-key"] == "key-1"
    assert "idempotent-replayed" not in answer.headers


async def test_a_repeated_key_replays_the_first_response(account: SandboxAccount) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "once"}}
    first = await account.request("POST", "/v1/customers", **send)
    second = await account.request("POST", "/v1/customers", **send)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["original-request"] == first.headers["request-id"]
    assert len((await account.v1.customers.list_async()).data) == 1


async def test_a_repeated_key_replays_errors(account: SandboxAccount) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "broken"}}
    await account.fault(path="/v1/customers", action="status", status=500)
    first = await account.request("POST", "/v1/customers", **send)
    second = await account.request("POST", "/v1/customers", **send)
    assert (first.status_code, second.status_code) == (500, 500)
    assert second.headers["idempotent-replayed"] == "true"
    assert (await account.v1.customers.list_async()).data == []


async def test_a_key_reused_for_another_request_is_an_idempotency_error(account: SandboxAccount) -> None:
    key = {"Idempotency-Key": "mine"}
    await account.request("POST", "/v1/customers", data={"name": "Ada"}, headers=key)
    params = await account.request("POST", "/v1/customers", data={"name": "Bob"}, headers=key)
    endpoint = await account.request("POST", "/v1/products", data={"name": "Ada"}, headers=key)
    for answer in (params, endpoint):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"


async def test_a_request_that_fails_validation_leaves_its_key_unused(account: SandboxAccount) -> None:
    key = {"Idempotency-Key": "again"}
    assert (await account.request("POST", "/v1/products", data={"nam": "x"}, headers=key)).status_code == 400
    assert (await account.request("POST", "/v1/products", data={"name": "x"}, headers=key)).status_code == 200


async def test_a_key_with_a_running_request_returns_409(account: SandboxAccount) -> None:
    fault = await account.fault(method="POST", path="/v1/customers", action="hold", when="before")
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "slow"}}
    held = asyncio.create_task(account.request("POST", "/v1/customers", **send))
    async with asyncio.timeout(TIMEOUT):
        while not (await account.control.get("/_sandbox/faults")).json()["data"][0]["hits"]:
            await asyncio.sleep(0.01)
    meanwhile = await account.request("POST", "/v1/customers", **send)
    assert meanwhile.status_code == 409
    assert meanwhile.json()["error"]["code"] == "idempotency_key_in_use"
    await account.control.delete(f"/_sandbox/faults/{fault}")
    assert (await held).status_code == 200
    assert len((await account.v1.customers.list_async()).data) == 1


async def test_get_and_delete_ignore_idempotency_keys(account: SandboxAccount) -> None:
    customer = await account.v1.customers.create_async({})
    key = {"Idempotency-Key": "ignored"}
    assert (await account.request("DELETE", f"/v1/customers/{customer.id}", headers=key)).status_code == 200
    assert (await account.request("DELETE", f"/v1/customers/{customer.id}", headers=key)).status_code == 404


async def test_recorded_requests_can_be_listed_and_deleted(account: SandboxAccount) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "counted"}}
    await account.request("POST", "/v1/customers", **send)
    await account.request("POST", "/v1/customers", **send)
    seen = (await account.control.get("/_sandbox/requests")).json()["data"]
    assert [(each["method"], each["path"], each["status"], each["replayed"]) for each in seen] == [
        ("POST", "/v1/customers", 200, False),
        ("POST", "/v1/customers", 200, True),
    ]
    assert seen[0]["idempotency_key"] == "counted"
    await account.control.delete("/_sandbox/requests")
    assert (await account.control.get("/_sandbox/requests")).json()["data"] == []


async def test_an_account_can_copy_the_objects_of_another(account: SandboxAccount) -> None:
    product = await account.v1.products.create_async({"name": "Print", "metadata": {"plan": "annual"}})
    copy = {"Authorization": f"Bearer sk_test_{secrets.token_hex(8)}"}
    source = {"source": account.key}
    assert (await account.control.post("/_sandbox/copy", headers=copy, json=source)).status_code == 200
    path = f"/v1/products/{product.id}"
    await account.control.post(path, headers=copy, data={"name": "Digital"})
    assert (await account.control.get(path, headers=copy)).json()["name"] == "Digital"
    assert (await account.v1.products.retrieve_async(product.id)).name == "Print"


async def test_the_sdk_raises_its_own_error_classes(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.customers.retrieve_async("cus_none")
    assert caught.value.code == "resource_missing"
    assert caught.value.user_message == "No such customer: 'cus_none'"
