"""Forged and malformed input over HTTP is rejected with a reason, and counted."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from app.db.engine.session import make_engine, make_sessions
from app.services import api_keys
from tests.support.authentication import create_api_key
from tests.support.contexts import database_context
from tests.support.shop import Shop

CHECK = {"subscriber": "ada", "feature": "archive"}
# The fault of each access token, and the request to the identity provider's control API that creates it.
BAD_TOKENS: dict[str, dict[str, Any]] = {
    "signed with another key": {"forged": True},
    "signed with an unknown key": {"kid": "nobody-has-it"},
    "unsigned": {"alg": "none"},
    "signed with the public key as a shared secret": {"alg": "HS256"},
    "expired": {"expires_in": -60},
    "not valid yet": {"claims": {"nbf": 4_000_000_000}},
    "of another issuer": {"issuer": "http://evil.example"},
    "for another audience": {"audience": "another-api"},
    "of 20 KB": {"claims": {"more": "x" * 15_000}},
}


async def rejection_count(shop: Shop, **labels: str) -> float:
    """Return how many requests were rejected so far, by the gate or in total."""
    name = "newsstand_gate_answers_total" if "reason" in labels else "newsstand_refusals_total"
    text = (await shop.http.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(name)]
    found = [line for line in lines if all(f'{key}="{value}"' in line for key, value in labels.items())]
    return sum(float(line.rpartition(" ")[2]) for line in found)


@asynccontextmanager
async def check_rejection_count(shop: Shop, times: int, **labels: str) -> AsyncIterator[None]:
    """Check that a number of rejections is counted."""
    before = await rejection_count(shop, **labels)
    yield
    assert await rejection_count(shop, **labels) - before == times, labels


async def test_an_invalid_access_token_is_rejected_everywhere(shop: Shop) -> None:
    for name, asked in BAD_TOKENS.items():
        headers = {"Authorization": f"Bearer {shop.issuer.token('ada', **asked)}"}
        async with (
            check_rejection_count(shop, 2, code="not_authenticated"),
            check_rejection_count(shop, 1, status="401", reason="not_authenticated"),
        ):
            gate = await shop.http.get("/v1/gate", params={"feature": "archive"}, headers=headers)
            mine = await shop.http.get("/v1/me/entitlements", headers=headers)
        for answer in (gate, mine):
            assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated"), name
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert gate.headers["x-newsstand-reason"] == "not_authenticated"
        assert gate.headers["x-newsstand-subscriber"] == ""


async def test_a_100_kilobyte_header_is_rejected(shop: Shop) -> None:
    headers = {"Authorization": "Bearer " + "x" * 100_000}

    answer = await shop.http.get("/v1/gate", params={"feature": "archive"}, headers=headers)

    assert answer.status_code in {400, 401, 431}
    assert (await shop.http.get("/v1/gate", params={"feature": "archive"})).status_code == 401


async def test_an_unknown_feature_is_rejected_by_every_check_method(shop: Shop) -> None:
    server, ada = {"Authorization": f"Bearer {shop.server_key}"}, shop.person()
    async with (
        check_rejection_count(shop, 3, code="unknown_feature"),
        check_rejection_count(shop, 1, status="403", reason="unknown_feature"),
    ):
        one = await shop.http.post("/v1/entitlements/check", headers=server, json=CHECK | {"feature": "teleport"})
        many = {"subscribers": ["ada"], "feature": "teleport"}
        several = await shop.http.post("/v1/entitlements/check-many", headers=server, json=many)
        gate = await shop.get("/v1/gate", ada, feature="teleport")

    assert [(a.status_code, a.json()["code"]) for a in (one, several)] == [(422, "unknown_feature")] * 2
    assert (gate.status_code, gate.headers["x-newsstand-reason"]) == (
        403,
        "unknown_feature",
    )  # proxies don't support 422


async def test_a_revoked_api_key_is_rejected_by_every_process(shop: Shop) -> None:
    engine = make_engine(shop.dsn, pool_size=1)
    sessions = make_sessions(engine)
    key = await create_api_key(database_context(sessions), "entitlements:read", name="the old site")
    headers = {"Authorization": f"Bearer {key}"}
    assert (await shop.http.post("/v1/entitlements/check", headers=headers, json=CHECK)).status_code == 200

    (listed,) = [one for one in await api_keys.list_all(database_context(sessions)) if one.name == "the old site"]
    await api_keys.revoke(database_context(sessions), listed.id, by="operator:test")
    await engine.dispose()
    before = await rejection_count(shop, code="not_authenticated")
    while (refused := await shop.http.post("/v1/entitlements/check", headers=headers, json=CHECK)).status_code == 200:
        pass  # the key is cached for a second

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
    assert "revoked" in refused.json()["detail"]
    for path in ("/v1/revocations", "/v1/subscribers/ada/entitlements"):
        assert (await shop.http.get(path, headers=headers)).status_code == 401
    assert await rejection_count(shop, code="not_authenticated") == before + 3


@pytest.mark.parametrize("evil", ["ada\r\nX-Evil: 1", "ada\nX-Evil: 1", "ada\rX-Evil: 1", "ada\x00"])
async def test_a_line_break_in_a_subject_adds_no_header_to_the_gates_response(shop: Shop, evil: str) -> None:
    async with check_rejection_count(shop, 1, status="401", reason="not_authenticated"):
        token = shop.issuer.token(evil)
        answer = await shop.http.get(
            "/v1/gate", params={"feature": "archive"}, headers={"Authorization": f"Bearer {token}"}
        )

    assert answer.status_code == 401
    assert "x-evil" not in answer.headers
    assert answer.headers["x-newsstand-subscriber"] == ""


async def test_the_gate_encodes_the_subject_reversibly_in_ascii(shop: Shop) -> None:
    for sub in ("J\u00f6rg \u8bfb\u8005", "auth0|ada%0d%0aX-Evil: 1", 'ada", x="', "ada, bob"):
        token = shop.issuer.token(sub)
        answer = await shop.http.get(
            "/v1/gate", params={"feature": "archive"}, headers={"Authorization": f"Bearer {token}"}
        )
        returned = answer.headers["x-newsstand-subscriber"]
        assert (answer.status_code, returned) == (403, quote(sub, safe="")), sub
        assert re.fullmatch(r"[A-Za-z0-9%._~-]+", returned)
        assert "x-evil" not in answer.headers


async def test_request_input_adds_no_header_to_the_gates_response(shop: Shop) -> None:
    ada = shop.person()
    lies = {
        "X-Newsstand-Subscriber": "somebody",
        "X-Newsstand-Reason": "paid_term",
        "X-Newsstand-Until": "2099-01-01T00:00:00Z",
    }
    features = ("archive%0d%0aX-Evil:%201", "archive%0aX-Evil:%201", "%f0%9f%97%9e", "archive%00")
    for feature in features:
        answer = await shop.http.get(f"/v1/gate?feature={feature}", headers={**lies, **ada.headers})
        assert answer.status_code in {400, 403}, feature
        assert "x-evil" not in answer.headers
        if answer.status_code == 403:
            assert answer.headers["x-newsstand-reason"] == "unknown_feature"
            assert answer.headers["x-newsstand-subscriber"] in {"", "ada"}
    answer = await shop.http.get("/v1/gate?feature=archive", headers={**lies, **ada.headers})
    returned = {name: answer.headers[name] for name in lies}
    assert returned == {
        "X-Newsstand-Subscriber": "ada",
        "X-Newsstand-Reason": "never_subscribed",
        "X-Newsstand-Until": "",
    }


@pytest.mark.parametrize("field", ["success_url", "cancel_url"])
async def test_a_return_url_on_another_host_is_rejected(shop: Shop, field: str) -> None:
    ada = shop.person()
    addresses = (
        "//evil.example.net/welcome",
        "https:evil.example.net",
        "https:///evil.example.net",
        "https:\\\\evil.example.net",
        "http://127.0.0.1:8080\\@evil.example.net/",
        "http://127.0.0.1:8080@evil.example.net/",
        "https://evil.example.net/?next=http://127.0.0.1:8080/",
        "http://127.0.0.1:8080/\r\nSet-Cookie: x=1",
        "javascript:alert(1)",
        "/welcome",
    )
    async with check_rejection_count(shop, len(addresses), code="return_url_not_allowed"):
        for address in addresses:
            elsewhere: dict[str, Any] = {field: address}
            answer: httpx2.Response = await shop.open_checkout(ada, **elsewhere)
            assert (answer.status_code, answer.json()["code"]) == (422, "return_url_not_allowed"), address
    assert await shop.stripe_customers() == []  # and nothing was created at Stripe
