"""Denial of service by the body of a request: its size, the number of its fields, and the errors about them."""

import json

import pytest

from tests.support.shop import Shop

KB = 1024


def object_of(fields: int) -> bytes:
    return json.dumps({f"f{number}": 1 for number in range(fields)}).encode()


@pytest.mark.parametrize("path", ["/v1/checkout-sessions", "/v1/entitlements/check", "/console/sign-out"])
async def test_a_body_above_64_kb_is_refused(shop: Shop, path: str) -> None:
    answer = await shop.http.post(path, content=b" " * (64 * KB + 1), headers=dict(shop.person().headers))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_webhook_may_have_a_megabyte_and_no_more(shop: Shop) -> None:
    for size, status in ((1_000_000, 400), (1_000_001, 413)):  # 400: not signed
        answer = await shop.http.post("/webhooks/stripe", content=b" " * size, headers={"Stripe-Signature": "t=1,v1=0"})
        assert answer.status_code == status


@pytest.mark.parametrize("path", ["/v1/checkout-sessions", "/v1/entitlements/check", "/v1/entitlements/check-many"])
async def test_a_body_with_thousands_of_fields_gets_a_short_answer(shop: Shop, path: str) -> None:
    key = f"Bearer {shop.server_key}"
    headers = {"Authorization": key} if "check" in path and "checkout" not in path else dict(shop.person().headers)
    headers["Content-Type"] = "application/json"
    nested = b'{"plan": [' + b",".join([object_of(50)] * 3) + b"]}"
    for body in (object_of(101), object_of(5_000), nested):
        answer = await shop.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "too_many_fields")
        assert len(answer.content) < KB

    answer = await shop.http.post(path, content=object_of(100), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert 10 < len(answer.json()["errors"]) <= 23
    assert len(answer.content) < 6 * KB


async def test_a_slow_body_of_a_webhook_delays_no_other_request(shop: Shop) -> None:
    """More slow bodies than requests that may be in progress: they are none."""
    import asyncio

    from tests.security.wire import ask, connection, request

    announced = b"POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
    capacity = shop.settings.max_requests
    opened = [connection(shop.url) for _ in range(capacity + 10)]
    slow = await asyncio.gather(*(one.__aenter__() for one in opened))
    try:
        await asyncio.gather(*(one.send(announced) for one in slow))
        assert (await ask(shop.url, request("GET", "/v1/plans"))).status == 200
        assert (await slow[-1].ask(b"x" * 999)).status == 400
    finally:
        for one in opened:
            await one.__aexit__(None, None, None)
