"""Entitlement checks over HTTP: invalid requests, authentication, and the search for readers."""

from typing import Any

import pytest

from tests.support.shop import Shop


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, "malformed_body", id="not JSON"),
        pytest.param(b"\xff", 400, "malformed_body", id="not UTF-8"),
        pytest.param(b"[]", 422, "validation_failed", id="list"),
        pytest.param(b"{}", 422, "validation_failed", id="empty object"),
        pytest.param(
            b'{"subscriber": 1, "feature": "archive"}', 422, "validation_failed", id="number instead of a name"
        ),
        pytest.param(b'{"subscriber": "", "feature": "archive"}', 422, "validation_failed", id="nobody"),
        pytest.param(b'{"subscriber": "\\u0000", "feature": "archive"}', 422, "validation_failed", id="NUL"),
        pytest.param(
            b'{"subscriber": "\\ud800", "feature": "archive"}', 422, "validation_failed", id="unpaired surrogate"
        ),
        pytest.param(
            b'{"subscriber": "a", "feature": "archive", "x": 1}', 422, "validation_failed", id="additional field"
        ),
        pytest.param(b'{"subscriber": "a", "feature": "teleport"}', 422, "unknown_feature", id="unknown feature"),
    ],
)
async def test_an_invalid_check_is_rejected_with_a_reason(shop: Shop, body: bytes, status: int, code: str) -> None:
    answer = await shop.http.post(
        "/v1/entitlements/check", content=body, headers={"Authorization": f"Bearer {shop.server_key}"}
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_check_requires_an_api_key(shop: Shop) -> None:
    asked = {"subscriber": "ada", "feature": "archive"}
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nsk_wrong"}, 401),
        (shop.person().headers, 401),
    ):
        answer = await shop.http.post("/v1/entitlements/check", json=asked, headers=dict(headers))
        assert answer.status_code == status, answer.text


async def test_a_check_of_an_unknown_reader_is_answered(shop: Shop) -> None:
    assert (await shop.check(shop.person()))["reason"] == "never_subscribed"
    mine = (await shop.get("/v1/me/entitlements", shop.person())).json()
    refused = mine.pop("refused")
    assert mine == {"subscriber": "ada", "features": {}, "version": 0}
    assert refused["archive"] == {"until": None, "reason": "never_subscribed"}
    assert refused["ad_free"] == {"until": None, "reason": "coming_soon"}


async def test_the_openapi_document_has_every_route_and_its_problems(shop: Shop) -> None:
    document: dict[str, Any] = (await shop.http.get("/openapi.json")).json()

    assert {
        "/v1/plans",
        "/v1/plans/{code}",
        "/v1/checkout-sessions",
        "/v1/checkout-sessions/{session_id}",
        "/v1/me/subscription",
        "/v1/me/subscription/cancel",
        "/v1/me/subscription/resume",
        "/v1/me/entitlements",
        "/v1/subscribers/{sub}/entitlements",
        "/v1/entitlements/check",
        "/v1/support/subscribers",
        "/v1/support/subscribers/{subscriber_id}",
        "/v1/support/payments/{payment_id}/refund-quote",
        "/v1/support/refunds",
        "/webhooks/stripe",
        "/healthz",
        "/readyz",
    } <= set(document["paths"])
    assert "CheckOut" in document["components"]["schemas"]
    assert {"400", "401", "403", "422"} <= set(document["paths"]["/v1/entitlements/check"]["post"]["responses"])
    assert (await shop.http.get("/docs")).status_code == 200


async def test_support_finds_a_reader_by_part_of_an_email_or_any_id(shop: Shop) -> None:
    ada, bob = shop.person("ada"), shop.person("bob")
    await shop.subscribe(ada)
    await shop.open_checkout(bob)
    seen = await shop.overview(ada)
    (payment,) = seen["payments"]

    for words in ("ad", "ADA@ex", "Ada", ada.sub, seen["stripe_customer"], payment["id"], payment["invoice"]):
        found = (await shop.get("/v1/support/subscribers", shop.agent, q=words)).json()["data"]
        assert [one["subscriber"] for one in found] == ["ada"], words
    for words in ("%", "_", "\\", "x" * 200, "'; DROP TABLE subscribers; --"):
        found = (await shop.get("/v1/support/subscribers", shop.agent, q=words)).json()["data"]
        assert found == [], words
    assert (await shop.get("/v1/support/subscribers", ada, q="ada")).status_code == 403
    assert (await shop.get("/v1/support/subscribers/rdr_nobody", shop.agent)).status_code == 404
    assert seen["access"]["archive"]["allowed"] is True
    assert seen["access"]["ad_free"]["reason"] == "coming_soon"


async def test_a_list_continues_after_its_cursor(shop: Shop) -> None:
    for number in range(3):
        await shop.open_checkout(shop.person(f"reader{number}"))

    first = (await shop.get("/v1/support/subscribers", shop.agent, q="reader", limit="2")).json()
    rest = (await shop.get("/v1/support/subscribers", shop.agent, q="reader", limit="2", after=first["next"])).json()

    assert (len(first["data"]), len(rest["data"]), rest["next"]) == (2, 1, None)
    assert len({one["id"] for one in first["data"] + rest["data"]}) == 3
