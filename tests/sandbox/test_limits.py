"""Rate limits: off until they are switched on, then Stripe's, and what was refused is counted."""

import asyncio
from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Shop


async def burst(shop: Shop, count: int, path: str = "/v1/account") -> list[int]:
    return [answer.status_code for answer in await asyncio.gather(*(shop.raw("GET", path) for _ in range(count)))]


async def limits(shop: Shop) -> dict[str, Any]:
    return dict((await shop.control.get("/_sandbox/limits")).json())


async def test_nothing_is_limited_at_first(shop: Shop) -> None:
    assert set(await burst(shop, 40)) == {200}
    assert (await limits(shop))["overall"] is None


async def test_switched_on_an_endpoint_takes_about_25_at_once(shop: Shop) -> None:
    await shop.settings(rate_limits=True)
    statuses = await burst(shop, 60)
    assert 25 <= statuses.count(200) < 60
    counted = await limits(shop)
    assert (counted["overall"], counted["endpoint"]) == (100, 25)
    assert counted["refused"] == counted["reasons"]["endpoint-rate"] == statuses.count(429)
    assert counted["endpoints"]["GET /v1/account"]["let_through"] == statuses.count(200)


async def test_ids_do_not_make_another_endpoint(shop: Shop) -> None:
    await shop.settings(rate_limits={"endpoint": 2})
    for number in range(4):
        await shop.raw("GET", f"/v1/customers/cus_{number}")
    counted = await limits(shop)
    assert list(counted["endpoints"]) == ["GET /v1/customers/{customer}"]
    assert counted["refused"] >= 1


async def test_the_whole_account_has_a_limit_too_and_tokens_come_back(shop: Shop) -> None:
    await shop.settings(rate_limits={"overall": 4})
    statuses = [(await shop.raw("GET", f"/v1/{noun}")).status_code for noun in ("products", "prices", "coupons") * 4]
    assert statuses[:4] == [200] * 4
    assert "global-rate" in (await limits(shop))["reasons"]
    await asyncio.sleep(0.6)
    assert (await shop.raw("GET", "/v1/products")).status_code == 200


async def test_the_refusal_is_stripes_has_no_effect_and_is_not_kept_under_the_key(shop: Shop) -> None:
    await shop.settings(rate_limits={"overall": 1})
    send: dict[str, Any] = {"data": {"name": "Ada"}, "headers": {"Idempotency-Key": "limited"}}
    await shop.raw("GET", "/v1/account")
    refused = await shop.raw("POST", "/v1/customers", **send)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit")
    assert refused.headers["stripe-rate-limited-reason"] == "global-rate"
    with pytest.raises(stripe.RateLimitError):
        await shop.v1.accounts.retrieve_current_async()
    await shop.settings(rate_limits=False)
    assert (await shop.v1.customers.list_async()).data == []
    assert "idempotent-replayed" not in (await shop.raw("POST", "/v1/customers", **send)).headers


async def test_the_counts_can_be_cleared(shop: Shop) -> None:
    await shop.settings(rate_limits={"overall": 1})
    await burst(shop, 3)
    assert (await shop.control.delete("/_sandbox/limits")).json()["refused"] == 0
    assert (await limits(shop))["endpoints"] == {}
