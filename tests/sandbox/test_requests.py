"""Who asks, with which key, and what a repeated request gets."""

import asyncio

import httpx2
import pytest
import stripe

from tests.sandbox.shop import Shop


@pytest.mark.parametrize(
    ("header", "told"),
    [
        pytest.param(None, "You did not provide an API key", id="no key"),
        pytest.param("Bearer sk_live_1234567890", "The sandbox never takes a live key", id="a live key"),
        pytest.param("Bearer pk_test_1234567890", "Invalid API Key provided: pk_test_****", id="a publishable key"),
        pytest.param("Basic !!!", "You did not provide an API key", id="broken Basic"),
    ],
)
async def test_a_request_without_a_test_key_is_401(sandbox_url: str, header: str | None, told: str) -> None:
    async with httpx2.AsyncClient(base_url=sandbox_url) as client:
        answer = await client.get("/v1/customers", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert told in answer.json()["error"]["message"]


async def test_each_key_is_an_account_of_its_own(shop: Shop, sandbox_url: str) -> None:
    customer = await shop.v1.customers.create_async({"name": "Ada"})
    async with httpx2.AsyncClient(base_url=sandbox_url, auth=(shop.key, "")) as same:
        assert (await same.get(f"/v1/customers/{customer.id}")).status_code == 200
    async with httpx2.AsyncClient(base_url=sandbox_url, auth=(f"{shop.key}x", "")) as other:
        assert (await other.get(f"/v1/customers/{customer.id}")).status_code == 404


async def test_another_api_version_is_refused(shop: Shop) -> None:
    answer = await shop.raw("GET", "/v1/customers", headers={"Stripe-Version": "2020-08-27"})
    assert answer.status_code == 400
    assert "2020-08-27" in answer.json()["error"]["message"]


async def test_each_reply_names_its_request_and_the_version(shop: Shop) -> None:
    answer = await shop.raw("POST", "/v1/customers", headers={"Idempotency-Key": "key-1"})
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["stripe-version"] == "2026-10-28.endive"
    assert answer.headers["idempotency-key"] == "key-1"
    assert "idempotent-replayed" not in answer.headers


async def test_a_repeated_key_replays_the_first_reply_and_changes_nothing(shop: Shop) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "once"}}
    first = await shop.raw("POST", "/v1/customers", **send)
    second = await shop.raw("POST", "/v1/customers", **send)
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["original-request"] == first.headers["request-id"]
    assert len((await shop.v1.customers.list_async()).data) == 1


async def test_a_repeated_key_replays_an_error_too(shop: Shop) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "broken"}}
    await shop.fault(path="/v1/customers", action="status", status=500)
    first = await shop.raw("POST", "/v1/customers", **send)
    second = await shop.raw("POST", "/v1/customers", **send)
    assert (first.status_code, second.status_code) == (500, 500)
    assert second.headers["idempotent-replayed"] == "true"
    assert (await shop.v1.customers.list_async()).data == []


async def test_a_key_reused_for_something_else_is_an_idempotency_error(shop: Shop) -> None:
    key = {"Idempotency-Key": "mine"}
    await shop.raw("POST", "/v1/customers", data={"name": "Ada"}, headers=key)
    params = await shop.raw("POST", "/v1/customers", data={"name": "Bob"}, headers=key)
    endpoint = await shop.raw("POST", "/v1/products", data={"name": "Ada"}, headers=key)
    for answer in (params, endpoint):
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"


async def test_a_request_that_never_began_leaves_its_key_free(shop: Shop) -> None:
    key = {"Idempotency-Key": "again"}
    assert (await shop.raw("POST", "/v1/products", data={"nam": "x"}, headers=key)).status_code == 400
    assert (await shop.raw("POST", "/v1/products", data={"name": "x"}, headers=key)).status_code == 200


async def test_a_key_whose_first_request_is_under_way_is_409(shop: Shop) -> None:
    fault = await shop.fault(method="POST", path="/v1/customers", action="hold", when="before")
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "slow"}}
    held = asyncio.create_task(shop.raw("POST", "/v1/customers", **send))
    async with asyncio.timeout(5):
        while not (await shop.control.get("/_sandbox/faults")).json()["data"][0]["hits"]:
            await asyncio.sleep(0.01)
    meanwhile = await shop.raw("POST", "/v1/customers", **send)
    assert meanwhile.status_code == 409
    assert meanwhile.json()["error"]["code"] == "idempotency_key_in_use"
    await shop.control.delete(f"/_sandbox/faults/{fault}")
    assert (await held).status_code == 200
    assert len((await shop.v1.customers.list_async()).data) == 1


async def test_get_and_delete_take_no_key(shop: Shop) -> None:
    customer = await shop.v1.customers.create_async({})
    key = {"Idempotency-Key": "ignored"}
    assert (await shop.raw("DELETE", f"/v1/customers/{customer.id}", headers=key)).status_code == 200
    assert (await shop.raw("DELETE", f"/v1/customers/{customer.id}", headers=key)).status_code == 404


async def test_the_requests_can_be_read_and_cleared(shop: Shop) -> None:
    send = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "counted"}}
    await shop.raw("POST", "/v1/customers", **send)
    await shop.raw("POST", "/v1/customers", **send)
    seen = (await shop.control.get("/_sandbox/requests")).json()["data"]
    assert [(each["method"], each["path"], each["status"], each["replayed"]) for each in seen] == [
        ("POST", "/v1/customers", 200, False),
        ("POST", "/v1/customers", 200, True),
    ]
    assert seen[0]["idempotency_key"] == "counted"
    await shop.control.delete("/_sandbox/requests")
    assert (await shop.control.get("/_sandbox/requests")).json()["data"] == []


async def test_the_sdk_sees_stripes_own_errors(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.customers.retrieve_async("cus_none")
    assert caught.value.code == "resource_missing"
    assert caught.value.user_message == "No such customer: 'cus_none'"
