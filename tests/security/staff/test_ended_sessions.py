"""Sessions end when the person signs out, an administrator ends them, or the identity provider says so."""

import time
from typing import Any

import pytest

from app.pages.logout_tokens import EVENT, LONGEST_LOGOUT_TOKEN
from demo.browser import Page
from demo.identity_provider.clients import CONSOLE_CLIENT_ID
from demo.identity_provider.users import DEMO_PASSWORD
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.shop import Shop

SUB = "staff-agent"


async def is_signed_in(console: ConsoleBrowser) -> bool:
    """Return whether a browser's session is open, without signing in again."""
    page = await console.browser._client.get(f"{console.shop.url}/console/", follow_redirects=False)
    return page.status_code == 200


async def post_logout_token(shop: Shop, token: str) -> int:
    """Send a logout token as the identity provider does, and return the status."""
    answer = await shop.http.post("/console/backchannel-logout", data={"logout_token": token})
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code


async def sid_of(console: ConsoleBrowser) -> str:
    """Return the identity provider's ID of a browser's session."""
    rows = await console.shop.rows("SELECT sid FROM staff_sessions WHERE id = $1", console.session().id)
    return str(rows[0]["sid"])


async def test_after_signing_out_the_provider_asks_for_the_password(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    assert (await robin.open("/sign-in?next=/console/readers")).url.endswith("/readers"), "it knows the person"
    # a real second later: the provider's times have no fractions
    shop.issuer.age_sign_ins(SUB, seconds=2)
    await robin.submit(await robin.open("/"), "/sign-out")

    page = await robin.open("/readers?q=ada")

    assert page.url.startswith(shop.issuer.url)
    assert "prompt=login" in page.url
    back = await robin.browser.submit(page, page.form("/authorize"), email="agent@example.com", password=DEMO_PASSWORD)
    assert back.url == f"{shop.url}/console/readers?q=ada"


async def test_signing_out_at_the_provider_ends_the_console_session(shop: Shop, open_console: OpenConsole) -> None:
    robin, at_home = await open_console("agent@example.com"), await open_console("agent@example.com")
    await robin.browser.open(f"{shop.issuer.url}/logout")
    assert not await is_signed_in(robin)
    assert await is_signed_in(at_home), "another session at the provider goes on"
    (row,) = await shop.rows("SELECT refresh_token, ended_at FROM staff_sessions WHERE ended_at IS NOT NULL")
    assert row["refresh_token"] is None
    written = await shop.rows("SELECT actor, object_id, reason FROM audit_log WHERE action = 'console.session_ended'")
    assert written == [{"actor": "policy", "object_id": f"staff:{SUB}", "reason": "identity_provider"}]


async def test_logout_token_without_a_session_ends_all_of_the_person(shop: Shop, open_console: OpenConsole) -> None:
    robin, at_home = await open_console("agent@example.com"), await open_console("agent@example.com")
    sam = await open_console("supervisor@example.com")
    token = shop.issuer.logout_token(sub=SUB)
    assert await post_logout_token(shop, token) == 200
    assert [await is_signed_in(one) for one in (robin, at_home, sam)] == [False, False, True]


async def test_logout_token_works_once(shop: Shop, open_console: OpenConsole) -> None:
    await open_console("agent@example.com")
    token = shop.issuer.logout_token(sub=SUB)
    assert await post_logout_token(shop, token) == 200
    later = await open_console("agent@example.com")
    assert await post_logout_token(shop, token) == 400
    assert await is_signed_in(later)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://evil.example.com"}, id="another issuer"),
        pytest.param({"aud": "another-client"}, id="another client"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"events": None}, id="no event"),
        pytest.param({"events": {EVENT: True}}, id="event of the wrong type"),
        pytest.param({"events": [EVENT]}, id="events of the wrong type"),
        pytest.param({"nonce": "n"}, id="nonce, as in an ID token"),
        pytest.param({"jti": None}, id="no jti"),
        pytest.param({"jti": 7}, id="jti of the wrong type"),
        pytest.param({"sub": None}, id="neither sub nor sid"),
        pytest.param({"sub": "a\nb"}, id="sub that is not printable"),
        pytest.param({"exp": 1_500_000_000}, id="expired"),
        pytest.param({"exp": None}, id="no expiry"),
        pytest.param({"iat": 4_000_000_000}, id="not valid yet"),
        pytest.param({"iat": "now"}, id="time of the wrong type"),
        pytest.param({"typ": "at+jwt"}, id="access token"),
    ],
)
async def test_invalid_logout_token_ends_nothing(shop: Shop, open_console: OpenConsole, claims: dict[str, Any]) -> None:
    robin = await open_console("agent@example.com")
    assert await post_logout_token(shop, shop.issuer.logout_token(**({"sub": SUB} | claims))) == 400
    assert await is_signed_in(robin)
    assert await shop.rows("SELECT FROM logout_tokens") == []


async def test_tokens_that_are_no_logout_tokens_end_nothing(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    valid = shop.issuer.logout_token(sub=SUB)
    header, claims, signature = valid.split(".")
    for token in (
        "",
        "x" * (LONGEST_LOGOUT_TOKEN + 1),
        "a.b.c",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}.{claims}.",
        shop.issuer.token(SUB, audience=CONSOLE_CLIENT_ID),
        shop.issuer.token(
            SUB, audience=CONSOLE_CLIENT_ID, typ="logout+jwt", forged=True, claims={"events": {EVENT: {}}}
        ),
        shop.issuer.token(
            SUB, audience=CONSOLE_CLIENT_ID, typ="logout+jwt", alg="none", claims={"events": {EVENT: {}}}
        ),
    ):
        assert await post_logout_token(shop, token) == 400, token[:50]
    assert await is_signed_in(robin)


async def test_sid_of_another_person_ends_nothing(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    sid = await sid_of(robin)
    assert await post_logout_token(shop, shop.issuer.logout_token(sub="staff-supervisor", sid=sid)) == 200
    assert await is_signed_in(robin)
    assert await post_logout_token(shop, shop.issuer.logout_token(sid=sid)) == 200
    assert not await is_signed_in(robin)


async def end_at_the_console(shop: Shop, alex: ConsoleBrowser) -> Page:
    return await alex.submit(await alex.open(f"/staff/end-sessions?sub={SUB}"), "/staff/end-sessions")


async def test_administrator_ends_a_persons_sessions_and_access_tokens(shop: Shop, open_console: OpenConsole) -> None:
    robin, alex = await open_console("agent@example.com"), await open_console("admin@example.com")
    older = shop.issuer.token(SUB, claims={"iat": int(time.time()) - 5})
    other = shop.issuer.token("staff-supervisor", claims={"iat": int(time.time()) - 5})

    async def search(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await shop.http.get("/v1/support/subscribers?q=ada", headers=headers)).status_code

    assert await search(older) == 200
    assert "Robin Vance" in (await alex.open("/staff")).text

    assert f"1 session of {SUB} ended" in (await end_at_the_console(shop, alex)).text

    assert not await is_signed_in(robin)
    assert await is_signed_in(alex)
    assert await search(older) == 401
    assert await search(other) == 200
    assert await search(shop.issuer.token(SUB, claims={"iat": int(time.time()) + 2})) == 200, "signed in again"
    written = await shop.rows("SELECT actor, object_id FROM audit_log WHERE action = 'console.sessions_ended'")
    assert written == [{"actor": "staff:staff-admin", "object_id": f"staff:{SUB}"}]


async def test_administrator_ends_sessions_with_the_api(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    admin = shop.person("alex", roles=("admin",))
    listed = (await shop.get("/v1/support/staff-sessions", admin)).json()["data"]
    assert [(one["sub"], one["name"], one["roles"]) for one in listed] == [(SUB, "Robin Vance", ["support"])]
    refused = await shop.post("/v1/support/staff-sessions/end", shop.supervisor, {"sub": SUB})
    assert refused.status_code == 403
    assert await is_signed_in(robin)
    ended = await shop.post("/v1/support/staff-sessions/end", admin, {"sub": SUB})
    assert (ended.status_code, ended.json()) == (200, {"ended": 1})
    assert not await is_signed_in(robin)
    assert (await shop.get("/v1/support/staff-sessions", admin)).json() == {"data": []}
