"""Rate limits and their counters."""

import asyncio
import time
from typing import Any

import pytest
import stripe

from tests.sandbox.client import SandboxAccount
from tests.support.timeouts import TIMEOUT

ONE = 1e-6  # requests per second: one, and no other for longer than any test takes


async def burst(account: SandboxAccount, count: int, path: str = "/v1/account") -> list[int]:
    return [
        answer.status_code for answer in await asyncio.gather(*(account.request("GET", path) for _ in range(count)))
    ]


async def limits(account: SandboxAccount) -> dict[str, Any]:
    return dict((await account.control.get("/_sandbox/limits")).json())


async def test_rate_limits_are_off_by_default(account: SandboxAccount) -> None:
    assert set(await burst(account, 40)) == {200}
    assert (await limits(account))["overall"] is None


async def test_an_endpoint_accepts_25_requests_at_once_with_limits_on(account: SandboxAccount) -> None:
    await account.settings(rate_limits=True)
    began = time.monotonic()
    statuses = await burst(account, 60)
    took = time.monotonic() - began
    assert 25 <= statuses.count(200) <= 25 + 25 * took
    counted = await limits(account)
    assert (counted["overall"], counted["endpoint"]) == (100, 25)


async def test_what_an_endpoint_refuses_is_counted(account: SandboxAccount) -> None:
    await account.settings(rate_limits={"endpoint": ONE})
    assert sorted(await burst(account, 60)) == [200, *[429] * 59]
    counted = await limits(account)
    assert counted["refused"] == counted["reasons"]["endpoint-rate"] == 59
    assert counted["endpoints"]["GET /v1/account"]["let_through"] == 1


async def test_ids_in_the_path_share_one_endpoint_limit(account: SandboxAccount) -> None:
    await account.settings(rate_limits={"endpoint": ONE})
    for number in range(4):
        await account.request("GET", f"/v1/customers/cus_{number}")
    counted = await limits(account)
    assert counted["endpoints"] == {"GET /v1/customers/{customer}": {"let_through": 1, "refused": 3}}


async def test_the_account_limit_recovers_with_time(account: SandboxAccount) -> None:
    nouns = ("products", "prices", "coupons", "account")
    await account.settings(rate_limits={"overall": 4})
    assert {(await account.request("GET", f"/v1/{noun}")).status_code for noun in nouns} == {200}
    await account.control.delete("/_sandbox/limits")
    await account.settings(rate_limits={"overall": ONE})
    statuses = [(await account.request("GET", f"/v1/{noun}")).status_code for noun in nouns]
    assert statuses == [200, 429, 429, 429]
    assert (await limits(account))["reasons"] == {"global-rate": 3}
    await account.settings(rate_limits={"overall": 4})
    async with asyncio.timeout(TIMEOUT):
        while (await account.request("GET", "/v1/products")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_rate_limited_request_has_no_effect_and_leaves_its_key_unused(account: SandboxAccount) -> None:
    await account.settings(rate_limits={"overall": ONE})
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "limited"}}
    await account.request("GET", "/v1/account")
    refused = await account.request("POST", "/v1/customers", **send)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit")
    assert refused.headers["stripe-rate-limited-reason"] == "global-rate"
    with pytest.raises(stripe.RateLimitError):
        await account.v1.accounts.retrieve_current_async()
    await account.settings(rate_limits=False)
    assert (await account.v1.customers.list_async()).data == []
    assert "idempotent-replayed" not in (await account.request("POST", "/v1/customers", **send)).headers


async def test_the_rate_limit_counters_can_be_reset(account: SandboxAccount) -> None:
    await account.settings(rate_limits={"overall": 1})
    await burst(account, 3)
    assert (await account.control.delete("/_sandbox/limits")).json()["refused"] == 0
    assert (await limits(account))["endpoints"] == {}
