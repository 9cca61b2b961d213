"""Only the configured front ends may call the API from a browser, and only the routes for readers (CORS)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.api.cors import METHODS, REQUEST_HEADERS, CrossOrigin
from tests.support.shop import Shop, open_shop

FRONT_END, OTHER = "https://www.example.com", "https://www.example.com.evil.example.com"
CORS = CrossOrigin(frozenset({FRONT_END.encode()}))
DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[1] / "openapi" / "openapi.json").read_text())


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    async with open_shop(database, sandbox, issuer, allowed_origins=(FRONT_END,)) as opened:
        yield opened


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }


async def test_a_front_end_may_call_the_routes_for_readers_and_no_others(shop: Shop) -> None:
    asked = await shop.http.options("/v1/me/refunds", headers=preflight(FRONT_END))
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == FRONT_END
    assert asked.headers["access-control-allow-methods"] == METHODS.decode()
    assert asked.headers["access-control-allow-headers"] == REQUEST_HEADERS.decode()
    assert asked.headers["access-control-max-age"] == "7200"
    assert asked.headers["vary"] == "Origin"
    assert asked.headers["x-request-id"]
    assert "access-control-allow-credentials" not in asked.headers

    reader = shop.person()
    for path, status in {
        "/v1/plans": 200,
        "/v1/me/plans": 200,
        "/v1/me/subscription": 404,
        "/v1/me/nothing": 404,
    }.items():
        answer = await shop.http.get(path, headers={**reader.headers, "Origin": FRONT_END})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, FRONT_END), path
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
    refused = await shop.http.get("/v1/me/subscription", headers={"Origin": FRONT_END})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, FRONT_END)
    too_large = await shop.http.post("/v1/checkout-sessions", content=b"x" * 2_000_000, headers={"Origin": FRONT_END})
    assert (too_large.status_code, too_large.headers["access-control-allow-origin"]) == (413, FRONT_END)

    for path in (
        "/console/",
        "/webhooks/stripe",
        "/v1/support/subscribers",
        "/v1/entitlements/check",
        "/v1/menu",
        "/healthz",
    ):
        for answer in (
            await shop.http.get(path, headers={"Origin": FRONT_END}),
            await shop.http.options(path, headers=preflight(FRONT_END)),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")], path
            assert "vary" not in answer.headers, path


async def test_other_origins_get_no_permission_and_caches_tell_them_apart(shop: Shop) -> None:
    for origin in (OTHER, "http://www.example.com", f"{FRONT_END}:8443", "null", "https://WWW.EXAMPLE.COM", ""):
        asked = await shop.http.options("/v1/me/refunds", headers=preflight(origin))
        answer = await shop.http.get("/v1/plans", headers={"Origin": origin})
        for one in (asked, answer):
            assert not [name for name in one.headers if name.startswith("access-control-")], origin
            assert one.headers["vary"] == "Origin"
    without = await shop.http.get("/v1/plans")
    assert (without.status_code, without.headers["vary"]) == (200, "Origin")
    assert (await shop.http.options("/v1/plans")).status_code == 405, "not a preflight"


async def test_no_front_end_is_allowed_by_default(database: str, sandbox: Any, issuer: Any) -> None:
    async with open_shop(database, sandbox, issuer) as shop:
        answer = await shop.http.get("/v1/plans", headers={"Origin": FRONT_END})
        assert answer.status_code == 200
        assert not {"vary", "access-control-allow-origin"} & set(answer.headers)
        assert (await shop.http.options("/v1/plans", headers=preflight(FRONT_END))).status_code == 405


# A proxy asks the first, and email programs the second, with a token of their own.
NOT_OF_FRONT_ENDS = {"/v1/gate", "/v1/notifications/{notification_id}/unsubscribe"}


def test_every_documented_route_for_readers_is_covered_with_its_method() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            schemes = [scheme for needed in operation.get("security", []) for scheme in needed.items()]
            is_for_readers = (
                path.startswith("/v1/")
                and path not in NOT_OF_FRONT_ENDS
                and all(scheme == ("person", []) for scheme in schemes)
            )
            assert CORS.covers(path) == is_for_readers, path
            if is_for_readers:
                assert method.upper() in METHODS.decode(), path
                headers = {one["name"] for one in operation.get("parameters", []) if one["in"] == "header"}
                assert {name.lower() for name in headers} <= set(REQUEST_HEADERS.decode().lower().split(", "))
