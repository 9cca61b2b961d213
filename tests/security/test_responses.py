"""What every response says to browsers and caches, which hosts are answered for, and who sees the pages for operators."""

from typing import Any

import httpx2
import pytest

from app.api.hosts import HostRules
from tests.security.wire import ask, request
from tests.support.shop import Shop, open_shop

PAGES = ("/metrics", "/docs", "/docs/style.css", "/openapi.json")
CONSOLE: dict[str, Any] = {"oidc_client_id": "console", "session_key": "k" * 40}


async def test_responses_carry_the_headers_that_browsers_need(shop: Shop) -> None:
    reader = dict(shop.person().headers)
    await shop.http.get("/v1/me/entitlements", headers=reader)
    personal = [
        await shop.http.get("/v1/me/entitlements", headers=reader),
        await shop.http.post("/v1/me/entitlement-tokens", headers=reader),
        await shop.http.get("/v1/me/subscription", headers=reader),  # 404
        await shop.http.get("/v1/support/subscribers", headers=reader),  # 403
        await check(shop),
        await check(shop),  # on the fast path
    ]
    public = [
        await shop.http.get(path)
        for path in ("/v1/plans", "/.well-known/jwks.json", "/nowhere", "/healthz", *PAGES, "/console/")
    ]
    for answer in (*personal, *public):
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers  # not over TLS
    assert {answer.headers["cache-control"] for answer in personal} == {"no-store"}
    assert public[1].headers.get("cache-control") != "no-store"  # the public keys of tokens

    forwarded = await shop.http.get("/v1/plans", headers={"X-Forwarded-Proto": "https"})
    assert forwarded.headers["strict-transport-security"] == "max-age=31536000"


async def check(shop: Shop) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {shop.server_key}"}
    return await shop.http.post(
        "/v1/entitlements/check", json={"subscriber": "ada", "feature": "archive"}, headers=headers
    )


@pytest.mark.parametrize(
    ("host", "path", "allowed"),
    [
        pytest.param(b"billing.example.com", "/v1/plans", True, id="configured"),
        pytest.param(b"billing.example.com:443", "/v1/plans", True, id="with a port"),
        pytest.param(b"BILLING.example.com", "/v1/plans", True, id="upper case"),
        pytest.param(b"staff.example.com:8443", "/v1/plans", True, id="the console's"),
        pytest.param(b"staff.example.com", "/v1/plans", False, id="the console's with another port"),
        pytest.param(b"billing.example.com.evil.example", "/v1/plans", False, id="longer"),
        pytest.param(b"evil.example", "/console/sign-in", False, id="another, console"),
        pytest.param(b"", "/v1/plans", False, id="none"),
        pytest.param(b"10.0.0.7:8000", "/readyz", True, id="a probe"),
        pytest.param(b"www.example.com", "/v1/gate", True, id="the gate, for the site"),
    ],
)
def test_only_configured_hosts_are_answered(host: bytes, path: str, allowed: bool) -> None:
    rules = HostRules(hosts=(b"billing.example.com",), console_host=b"staff.example.com:8443")
    assert rules.allow(host, path) is allowed


def test_without_configured_hosts_only_the_consoles_is_checked() -> None:
    console_only = HostRules(console_host=b"staff.example.com")
    assert console_only.allow(b"evil.example", "/v1/plans")
    assert not console_only.allow(b"evil.example", "/console")
    assert not console_only.allow(b"evil.example", "/console/sign-in")
    assert console_only.allow(b"evil.example", "/consoles")
    assert HostRules().allow(b"evil.example", "/console")


async def test_a_request_for_another_host_is_refused(database: str, sandbox: Any, issuer: Any) -> None:
    async with open_shop(database, sandbox, issuer, allowed_hosts=("127.0.0.1",), **CONSOLE) as shop:
        assert (await shop.http.get("/v1/plans")).status_code == 200
        for path in ("/v1/plans", "/console/sign-in", "/docs"):
            answer = await shop.http.get(path, headers={"Host": "evil.example"})
            assert (answer.status_code, answer.json()["code"]) == (400, "unknown_host")
        two = await ask(shop.url, request("GET", "/v1/plans", "Host: evil.example"))
        assert two.status == 400


@pytest.mark.parametrize(
    ("access", "public", "reader", "admin"),
    [
        pytest.param("open", 200, 200, 200, id="open"),
        pytest.param("privacy", 401, 403, 200, id="for a role"),
        pytest.param("off", 404, 404, 404, id="off"),
    ],
)
async def test_pages_for_operators_are_open_to_those_whom_the_setting_names(
    database: str, sandbox: Any, issuer: Any, access: str, public: int, reader: int, admin: int
) -> None:
    async with open_shop(database, sandbox, issuer, internal_pages=access) as shop:
        chief = shop.person("chief", roles=("admin",))
        for status, headers in ((public, {}), (reader, shop.person().headers), (admin, chief.headers)):
            for page in PAGES:
                answer = await shop.http.get(page, headers=dict(headers))
                assert answer.status_code == status, (page, answer.text[:200])
            details = (await shop.http.get("/readyz", headers=dict(headers))).json()
            assert (details == {"status": "ok"}) is (status != 200), details
        assert (await shop.http.get("/healthz")).json() == {"status": "ok"}

        await shop.rows("INSERT INTO sign_outs (sub, at) VALUES ($1, now())", chief.sub)
        left = [(await shop.http.get(page, headers=dict(chief.headers))).status_code for page in PAGES]
        assert set(left) == {public}, "a token from before a sign-out is as good as none"


async def test_pages_for_operators_use_no_script(shop: Shop) -> None:
    page = await shop.http.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in page.text
    assert (await shop.http.get("/redoc")).status_code == 404


async def test_the_port_for_operators_serves_their_pages(database: str, sandbox: Any, issuer: Any) -> None:
    async with open_shop(database, sandbox, issuer, internal_pages="off", allowed_hosts=("example.com",)) as shop:
        assert shop.app is not None
        host = {"Host": "example.com"}
        assert (await shop.http.get("/metrics", headers=host)).status_code == 404
        shop.app.state.internal_port = int(shop.url.rpartition(":")[2])
        for page in PAGES:
            assert (await shop.http.get(page)).status_code == 200  # and any host
        assert "degraded" in (await shop.http.get("/readyz")).json()
