"""API keys expire, are rotated with an overlap, have scopes, and tell when they were used. None moves money."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app.api.auth import Authenticator
from app.db.engine.pool import Pool
from app.db.engine.session import Sessions
from app.domain.callers import ApiScope, NotAuthenticated
from app.services import api_keys
from tests.console.conftest import OpenConsole
from tests.support.authentication import AdjustableClock, create_api_key, make_authenticator, make_request
from tests.support.contexts import database_context
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

READ = ApiScope.READ_ENTITLEMENTS
ISSUE = {"title": "Spring", "cover_date": "2027-03-01", "planned_mail_date": "2027-02-20", "label_cutoff": "2027-02-10"}


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock()


def authenticator(clock: AdjustableClock, sessions: Sessions, pool: Pool) -> Authenticator:
    return make_authenticator("http://127.0.0.1:9", clock, sessions, pool)


async def run_sql(sessions: Sessions, statement: str) -> None:
    async with sessions.begin() as session:
        await (await session.connection()).exec_driver_sql(statement)


async def key_id(sessions: Sessions) -> str:
    return (await api_keys.list_all(database_context(sessions)))[-1].id


async def test_key_expires_also_while_it_is_cached(sessions: Sessions, pool: Pool) -> None:
    clock = AdjustableClock(stopped_at=datetime.now(UTC))  # a key is cached for a second
    ctx = database_context(sessions)
    key = await create_api_key(ctx, READ, life=timedelta(minutes=1))
    expired = await api_keys.create(
        ctx, "old", [READ], by="operator:test", now=datetime.now(UTC) - timedelta(days=2), life=timedelta(days=1)
    )
    auth = authenticator(clock, sessions, pool)
    request = make_request(f"Bearer {key}")
    assert await auth.server(request, READ)
    assert auth.cached_server(request.scope["headers"], READ)
    clock.ahead = timedelta(minutes=2)
    assert auth.cached_server(request.scope["headers"], READ) is None
    with pytest.raises(NotAuthenticated):
        await auth.server(make_request(f"Bearer {expired.key}"), READ)
    await auth.close()


async def test_rotated_key_stays_valid_for_the_overlap(sessions: Sessions, pool: Pool, clock: AdjustableClock) -> None:
    ctx = database_context(sessions)
    old = await create_api_key(ctx, READ, ApiScope.READ_ISSUES)
    new = await api_keys.rotate(
        ctx, await key_id(sessions), by="operator:test", now=datetime.now(UTC), overlap=timedelta(hours=1)
    )
    auth = authenticator(clock, sessions, pool)
    for key in (old, new.key):
        server = await auth.server(make_request(f"Bearer {key}"), READ)
        assert server.scopes == {READ, ApiScope.READ_ISSUES}
    first, second = await api_keys.list_all(ctx)
    assert (first.replaced_by, first.state(now=datetime.now(UTC))) == (second.id, "replaced")
    assert first.expires_at is not None
    assert first.expires_at < datetime.now(UTC) + timedelta(hours=1)
    await auth.close()


async def test_older_keys_work_until_they_are_rotated(sessions: Sessions, pool: Pool, clock: AdjustableClock) -> None:
    old = f"nsk_{secrets.token_urlsafe(32)}"
    await run_sql(
        sessions,
        "INSERT INTO api_keys (id, hash, name, scopes)"
        f" VALUES ('key_old', '{api_keys.digest(old)}', 'the site', '{{entitlements:read}}')",
    )
    auth = authenticator(clock, sessions, pool)
    assert (await auth.server(make_request(f"Bearer {old}"), READ)).id == "key_old"
    ctx = database_context(sessions)
    new = await api_keys.rotate(ctx, "key_old", by="operator:test", now=datetime.now(UTC), overlap=timedelta(0))
    assert new.expires_at is None, "it lives as long as the old one was meant to"
    assert await auth.server(make_request(f"Bearer {new.key}"), READ)
    clock.ahead = timedelta(seconds=2)
    with pytest.raises(NotAuthenticated):
        await auth.server(make_request(f"Bearer {old}"), READ)
    await auth.close()


async def test_use_is_recorded_once_in_minutes(sessions: Sessions, pool: Pool, clock: AdjustableClock) -> None:
    ctx = database_context(sessions)
    request = make_request(f"Bearer {await create_api_key(ctx, READ)}")
    first, second = authenticator(clock, sessions, pool), authenticator(clock, sessions, pool)
    for auth in (first, second):
        await auth.server(request, READ)
        await auth.close()
    (used,) = await api_keys.list_all(ctx)
    assert used.last_used_at is not None
    for seconds in range(2, 60, 2):
        clock.ahead = timedelta(seconds=seconds)
        await first.server(request, READ)
    await first.close()
    await api_keys.record_use(ctx, used.id)  # as another process does that looked the key up at the same time
    assert (await api_keys.list_all(ctx))[0].last_used_at == used.last_used_at
    await run_sql(sessions, "UPDATE api_keys SET last_used_at = now() - interval '6 minutes'")
    clock.ahead = timedelta(minutes=6)
    await first.server(request, READ)
    await first.close()
    assert (await api_keys.list_all(ctx))[0].last_used_at > used.last_used_at  # type: ignore[operator]


async def test_made_up_keys_cost_no_query(sessions: Sessions, pool: Pool, clock: AdjustableClock) -> None:
    key = await create_api_key(database_context(sessions), READ)
    auth = make_authenticator("http://127.0.0.1:9", clock, None)  # without a database, any query would fail otherwise
    for made_up in (key[:-1] + ("0" if key[-1] != "0" else "1"), key.swapcase(), key[:-1]):
        with pytest.raises(NotAuthenticated, match="An API key is required"):
            await auth.server(make_request(f"Bearer {made_up}"), READ)
    await auth.close()


async def call(shop: Shop, key: str, method: str, path: str, body: object = None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "k-1"}
    return await shop.http.request(method, path, headers=headers, json=body)


async def test_each_scope_opens_its_own_operations_only(shop: Shop, sessions: Sessions) -> None:
    operations = {
        ("GET", "/v1/support/subscribers?q=ada"): ApiScope.READ_SUBSCRIBERS,
        ("GET", "/v1/support/refunds"): ApiScope.READ_REFUNDS,
        ("GET", "/v1/issues"): ApiScope.READ_ISSUES,
        ("PUT", "/v1/issues/900"): ApiScope.WRITE_ISSUES,
        ("GET", "/v1/support/audit"): ApiScope.READ_AUDIT,
    }
    ctx = database_context(sessions)
    keys = {scope: await create_api_key(ctx, scope) for scope in ApiScope}
    for (method, path), needed in operations.items():
        for scope, key in keys.items():
            answer = await call(shop, key, method, path, ISSUE if method == "PUT" else None)
            assert answer.status_code == (200 if scope == needed else 403), (path, scope, answer.text)
    every = await create_api_key(ctx, *ApiScope)
    for method, path in (
        ("POST", "/v1/support/refunds"),
        ("POST", "/v1/support/comps"),
        ("POST", "/v1/api-keys"),
        ("GET", "/v1/api-keys"),
        ("POST", "/v1/support/staff-sessions/end"),
        ("GET", "/v1/support/events"),
        ("GET", "/v1/me/subscription"),
    ):
        assert (await call(shop, every, method, path, {})).status_code == 401, path
    await call(shop, keys[ApiScope.WRITE_ISSUES], "PUT", "/v1/issues/900", ISSUE | {"title": "Summer"})
    (changed,) = await shop.rows("SELECT actor FROM audit_log WHERE action = 'issue.changed'")
    assert changed["actor"].startswith("key:")


async def test_keys_are_managed_with_the_api(shop: Shop) -> None:
    admin = shop.person("alex", roles=("admin",))
    body = {"name": "the site", "scopes": [READ], "expires_in_days": 30}
    assert (await shop.post("/v1/api-keys", shop.supervisor, body)).status_code == 403
    made = await shop.post("/v1/api-keys", admin, body)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    check = {"subscriber": "ada", "feature": "archive"}
    assert (await call(shop, made.json()["key"], "POST", "/v1/entitlements/check", check)).status_code == 200
    path = f"/v1/api-keys/{made.json()['id']}"
    rotated = await shop.post(f"{path}/rotate", admin, {"overlap_hours": 1})
    assert rotated.status_code == 201, rotated.text
    again = await shop.post(f"{path}/rotate", admin, {"overlap_hours": 1})
    assert (again.status_code, again.json()["code"]) == (409, "api_key_replaced")
    assert (await shop.http.delete(path, headers=admin.headers)).status_code == 204
    assert (await shop.http.delete(path, headers=admin.headers)).status_code == 404
    states = {key["id"]: key["state"] for key in (await shop.get("/v1/api-keys", admin)).json()["data"]}
    assert states[made.json()["id"]] == "revoked"
    assert states[rotated.json()["id"]] == "active"
    wrongs: list[dict[str, object]] = [
        {"scopes": ["money:write"]},
        {"scopes": []},
        {"expires_in_days": 0},
        {"name": ""},
        {"more": 1},
    ]
    for wrong in wrongs:
        assert (await shop.post("/v1/api-keys", admin, body | wrong)).status_code == 422, wrong


async def test_keys_are_managed_at_the_console(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    page = await alex.open("/api-keys")
    form = next(form for form in page.find("form") if form.attributes["action"].endswith("/api-keys"))
    without = await alex.browser.submit(page, form, name="the archive")
    assert (without.status, "at least one permission" in without.text) == (422, True)
    made = await alex.browser.submit(page, form, name="the archive", **{"scope:entitlements:read": "yes"})
    assert (made.status, made.url.endswith("/api-keys/new")) == (200, True)
    assert "It is shown only once" not in (await alex.browser.open(made.url)).text, "reloading makes no other key"
    key = next(field.attributes["value"] for field in made.find("input", id="key"))
    check = {"subscriber": "ada", "feature": "archive"}
    assert (await call(shop, key, "POST", "/v1/entitlements/check", check)).status_code == 200
    made_id = next(row["id"] for row in await shop.rows("SELECT id FROM api_keys WHERE name = 'the archive'"))

    field = f"overlap-{made_id}"
    late = await alex.submit(await alex.open("/api-keys"), f"/{made_id}/rotate", **{field: "999"})
    (box,) = late.find("input", id=field)
    assert (late.status, box.attributes["value"], box.attributes["aria-invalid"]) == (422, "999", "true")
    assert [link.attributes["href"] for link in late.find("a") if "whole number" in link.text] == [f"#{field}"]
    rotated = await alex.submit(await alex.open("/api-keys"), f"/{made_id}/rotate", **{field: "3"})
    newer = next(field.attributes["value"] for field in rotated.find("input", id="key"))
    assert f"The old key {made_id} stays valid until" in rotated.text
    listed = await alex.submit(await alex.open(f"/api-keys/{made_id}/revoke"), f"/{made_id}/revoke")
    assert f"{made_id} is revoked" in listed.text
    assert newer not in listed.text
    async with asyncio.timeout(TIMEOUT):
        while (await call(shop, key, "POST", "/v1/entitlements/check", check)).status_code != 401:
            await asyncio.sleep(0.1)
    assert (await call(shop, newer, "POST", "/v1/entitlements/check", check)).status_code == 200
    written = await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'api_key.%' ORDER BY id")
    assert [row["action"] for row in written] == ["api_key.created", "api_key.rotated", "api_key.revoked"]
