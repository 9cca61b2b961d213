"""API keys, and endpoints that require a role or a key."""

from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI

from app.api import deps, problems
from app.db.engine.fast_reads import FastReads
from app.db.engine.pool import Pool
from app.db.engine.session import Sessions
from app.domain.callers import ApiScope, NotAllowed, NotAuthenticated, UnknownScope
from app.domain.errors import NotFound
from app.services import api_keys
from tests.support.authentication import AdjustableClock, create_api_key, make_authenticator, make_request
from tests.support.contexts import database_context
from tests.support.issuer import Issuer


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


async def test_an_api_key_is_stored_as_a_hash_and_grants_its_scopes(
    sessions: Sessions, pool: Pool, clock: AdjustableClock
) -> None:
    key = await create_api_key(database_context(sessions), ApiScope.READ_ENTITLEMENTS)
    assert key.startswith("nsk_")
    assert len(key) == 46
    asked = make_request(f"Bearer {key}")
    auth = make_authenticator("http://issuer.test", clock, sessions, pool)
    server = await auth.server(asked, ApiScope.READ_ENTITLEMENTS)
    assert server.scopes == {ApiScope.READ_ENTITLEMENTS}
    assert asked.scope["caller"] == "server"
    with pytest.raises(NotAllowed):
        await auth.server(asked, "refunds:write")


async def test_a_revoked_key_is_refused_within_a_second(sessions: Sessions, pool: Pool, clock: AdjustableClock) -> None:
    key = await create_api_key(database_context(sessions), ApiScope.READ_ENTITLEMENTS)
    auth = make_authenticator("http://issuer.test", clock, sessions, pool)
    server = await auth.server(make_request(f"Bearer {key}"), ApiScope.READ_ENTITLEMENTS)
    await api_keys.revoke(database_context(sessions), server.id, by="operator:test")
    clock.ahead = timedelta(seconds=1)
    with pytest.raises(NotAuthenticated):
        await auth.server(make_request(f"Bearer {key}"), ApiScope.READ_ENTITLEMENTS)
    with pytest.raises(NotFound):
        await api_keys.revoke(database_context(sessions), server.id, by="operator:test")


@pytest.mark.parametrize("key", ["nsk_" + "x" * 43, "nsk_short", "eyJ.eyJ.sig", "nsk_' OR 1=1 --" + "x" * 32])
async def test_an_unknown_api_key_is_rejected(sessions: Sessions, pool: Pool, clock: AdjustableClock, key: str) -> None:
    with pytest.raises(NotAuthenticated):
        await make_authenticator("http://issuer.test", clock, sessions, pool).server(
            make_request(f"Bearer {key}"), ApiScope.READ_ENTITLEMENTS
        )


async def test_an_api_key_with_an_unknown_scope_is_not_created(sessions: Sessions) -> None:
    with pytest.raises(UnknownScope):
        await create_api_key(database_context(sessions), "everything")


@pytest.fixture
async def client(
    issuer: Issuer, sessions: Sessions, pool: Pool, clock: AdjustableClock
) -> AsyncIterator[httpx2.AsyncClient]:
    made = FastAPI()
    problems.install(made)

    @made.get("/me")
    async def me(reader: deps.CurrentReader) -> str:
        return reader.sub

    @made.get("/desk")
    async def desk(agent: deps.SupportAgent) -> str:
        return agent.sub

    @made.get("/inbox")
    async def inbox(admin: deps.Admin) -> str:
        return admin.sub

    @made.get("/server")
    async def server(key: deps.EntitlementReader) -> list[str]:
        return sorted(key.scopes)

    @made.post("/money")
    async def money(key: deps.IdempotencyKey) -> str:
        return key

    made.state.api = SimpleNamespace(
        authenticator=make_authenticator(issuer.url, clock, sessions, pool), ctx=SimpleNamespace(reads=FastReads(pool))
    )
    transport = httpx2.ASGITransport(app=made)
    async with httpx2.AsyncClient(transport=transport, base_url="http://newsstand.test") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "roles", "status"),
    [
        pytest.param("/me", [], 200, id="reader endpoint as reader"),
        pytest.param("/desk", [], 403, id="support endpoint as reader"),
        pytest.param("/desk", ["supervisor"], 200, id="support endpoint as supervisor"),
        pytest.param("/inbox", ["supervisor"], 403, id="admin endpoint as supervisor"),
        pytest.param("/inbox", ["admin"], 200, id="admin endpoint as admin"),
        pytest.param("/server", ["admin"], 401, id="server endpoint as person"),
    ],
)
async def test_an_endpoint_requires_its_role(
    client: httpx2.AsyncClient, issuer: Issuer, path: str, roles: list[str], status: int
) -> None:
    token = issuer.token("user-1", roles=roles)
    response = await client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == status
    if status != 200:
        assert response.json()["code"] == {401: "not_authenticated", 403: "not_allowed"}[status]


@pytest.mark.parametrize("path", ["/me", "/desk", "/server"])
async def test_a_request_without_credentials_gets_401_with_the_required_kind(
    client: httpx2.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")


async def test_an_api_key_grants_access_to_a_server_endpoint(client: httpx2.AsyncClient, sessions: Sessions) -> None:
    key = await create_api_key(database_context(sessions), ApiScope.READ_ENTITLEMENTS)
    response = await client.get("/server", headers={"Authorization": f"Bearer {key}"})
    assert response.json() == [ApiScope.READ_ENTITLEMENTS]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, "idempotency_key_required", id="no key"),
        pytest.param({"Idempotency-Key": "two words"}, "idempotency_key_invalid", id="invalid key"),
    ],
)
async def test_a_request_that_moves_money_requires_an_idempotency_key(
    client: httpx2.AsyncClient, headers: dict[str, str], code: str
) -> None:
    response = await client.post("/money", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert (await client.post("/money", headers={"Idempotency-Key": "click-1"})).json() == "click-1"
