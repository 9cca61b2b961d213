"""Every 15 minutes, the identity provider must confirm the roles of a session, by a refresh token."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.encryption import Cipher
from demo.identity_provider.users import DEMO_USERS
from tests.console.conftest import SESSION_KEY, SETTINGS, ConsoleBrowser, OpenConsole
from tests.support.busy_machine import patient_browser
from tests.support.issuer import Issuer, running_issuer
from tests.support.shop import Shop, open_shop

SUB = "staff-supervisor"
EMAIL = "supervisor@example.com"
DUE = timedelta(minutes=16)


@pytest.fixture(autouse=True)
def unchanged_roles(issuer: Issuer) -> Iterator[None]:
    """Give the users their roles back after each test, which share the identity provider."""
    yield
    for user in DEMO_USERS:
        issuer.change_roles(user.sub, *user.roles)


async def status_of(console: ConsoleBrowser, path: str) -> int:
    """Return the status of a page, without following redirects."""
    url = f"{console.shop.url}/console{path}"
    return (await console.browser._client.get(url, follow_redirects=False)).status_code


async def test_removed_role_is_lost_after_the_interval(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    shop.issuer.change_roles(SUB, "support")
    assert await status_of(sam, "/approvals") == 200, "not checked yet"
    await sam.backdate(checked_at=DUE)
    assert await status_of(sam, "/approvals") == 403
    assert await status_of(sam, "/readers") == 200
    (entry,) = await shop.rows("SELECT object_id, before, after FROM audit_log WHERE action = 'console.roles_changed'")
    assert entry["object_id"] == f"staff:{SUB}"


async def test_session_without_roles_ends(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    shop.issuer.change_roles(SUB)
    await sam.backdate(checked_at=DUE)
    page = await sam.open("/approvals")
    assert page.status == 403
    assert "Your account has no staff role" in page.text
    rows = await shop.rows("SELECT reason FROM audit_log WHERE action = 'console.session_ended'")
    assert [row["reason"] for row in rows] == ["role_removed"]


async def test_session_continues_while_the_provider_confirms_the_roles(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    for _ in range(3):  # each refresh token works once
        await sam.backdate(checked_at=DUE)
        assert await asyncio.gather(*(status_of(sam, "/approvals") for _ in range(5))) == [200] * 5
    assert await shop.rows("SELECT FROM staff_sessions WHERE ended_at IS NOT NULL") == []


async def test_session_that_the_provider_has_ended_ends(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    await sam.browser._client.get(f"{shop.issuer.url}/logout")
    # as if the provider's message had been lost
    await shop.execute(
        "UPDATE staff_sessions SET ended_at = NULL, refresh_token = '"
        + Cipher(lambda: [SESSION_KEY], purpose="newsstand console: refresh tokens").encrypt("withdrawn")
        + "'"
    )
    assert await status_of(sam, "/approvals") == 200
    await sam.backdate(checked_at=DUE)
    assert await status_of(sam, "/approvals") == 303
    assert len(await shop.rows("SELECT FROM staff_sessions WHERE ended_at IS NOT NULL")) == 1


async def test_without_a_refresh_token_the_browser_asks_the_provider(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    await shop.execute("UPDATE staff_sessions SET refresh_token = NULL")
    await sam.backdate(checked_at=DUE)
    page = await sam.open("/approvals")
    assert page.url == f"{shop.url}/console/approvals"
    assert len(await shop.rows("SELECT FROM staff_sessions")) == 2


async def test_refresh_tokens_are_encrypted(shop: Shop, open_console: OpenConsole) -> None:
    sam = await open_console(EMAIL)
    (row,) = await shop.rows("SELECT refresh_token FROM staff_sessions")
    cipher = Cipher(lambda: [SESSION_KEY], purpose="newsstand console: refresh tokens")
    token = cipher.decrypt(row["refresh_token"])
    assert token
    assert token not in row["refresh_token"]
    other = Cipher(lambda: [SESSION_KEY], purpose="newsstand console: session")
    assert other.decrypt(row["refresh_token"]) is None
    assert await status_of(sam, "/approvals") == 200


async def test_without_the_provider_nobody_outlasts_the_interval(database: str, sandbox: object) -> None:
    with running_issuer() as own_issuer:
        async with open_shop(database, sandbox, own_issuer, **SETTINGS) as shop, patient_browser() as browser:
            sam = ConsoleBrowser(shop, browser)
            await sam.sign_in(EMAIL)
            own_issuer.stop()
            assert await status_of(sam, "/approvals") == 200
            await sam.backdate(checked_at=DUE)
            page = await sam.open("/approvals")
            assert (page.status, page.title) == (503, "Sign-in is unavailable · Newsstand")
            await sam.backdate(checked_at=timedelta(0))
            assert await status_of(sam, "/approvals") == 200, "the session has not ended"


async def test_signing_out_works_while_the_provider_is_down(database: str, sandbox: object) -> None:
    with running_issuer() as own_issuer:
        async with open_shop(database, sandbox, own_issuer, **SETTINGS) as shop, patient_browser() as browser:
            sam = ConsoleBrowser(shop, browser)
            page = await sam.sign_in(EMAIL)
            own_issuer.stop()
            await sam.backdate(checked_at=DUE)
            assert await status_of(sam, "/approvals") == 503
            done = await sam.submit(page, "/sign-out")
            assert (done.status, done.title) == (200, "Signed out · Newsstand")
            assert browser.cookies("newsstand_console") == []
            assert await shop.rows("SELECT FROM staff_sessions WHERE ended_at IS NULL") == []
