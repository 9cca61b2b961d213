"""A service with a console, and agents who use it with a browser without a screen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from app.console.sessions import SessionCookie
from app.pages.cookies import CookieCipher
from demo.browser import Browser, Page
from demo.identity_provider.clients import CONSOLE_CLIENT_ID, CONSOLE_CLIENT_SECRET
from demo.identity_provider.users import DEMO_PASSWORD
from tests.support.busy_machine import patient_browser
from tests.support.shop import Shop, open_shop

SESSION_KEY = "a-key-for-the-tests-and-nothing-else"
SETTINGS: dict[str, Any] = {
    "oidc_client_id": CONSOLE_CLIENT_ID,
    "oidc_client_secret": SecretStr(CONSOLE_CLIENT_SECRET),
    "session_key": SecretStr(SESSION_KEY),
}


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A running service with a console."""
    async with open_shop(database, sandbox, issuer, **SETTINGS) as opened:
        yield opened


CIPHER = CookieCipher(SESSION_KEY, purpose="console: session")


class ConsoleBrowser:
    """The browser of a person at the console."""

    def __init__(self, shop: Shop, browser: Browser) -> None:
        self.shop, self.browser = shop, browser

    async def open(self, path: str) -> Page:
        """Open a page of the console."""
        return await self.browser.open(f"{self.shop.url}/console{path}")

    async def sign_in(self, email: str, *, path: str = "/") -> Page:
        """Open a page, and sign in at the identity provider it redirects to."""
        page = await self.open(path)
        assert page.url.startswith(self.shop.issuer.url), page.text
        return await self.browser.submit(page, page.form("/authorize"), email=email, password=DEMO_PASSWORD)

    def session(self) -> SessionCookie:
        """Return the content of the session cookie."""
        (value,) = self.browser.cookies("newsstand_console")
        found = SessionCookie.from_value(value, CIPHER, idle=timedelta(hours=8), now=datetime.now(UTC))
        assert found is not None
        return found

    async def backdate(self, *, idle_for: timedelta = timedelta(0), **ages: timedelta) -> None:
        """Make the session's last use longer ago, and the times in its row, such as ``signed_in_at``."""
        session = self.session()
        for column, age in ages.items():
            await self.shop.execute(
                f"UPDATE staff_sessions SET {column} = now() - interval '{age.total_seconds()} seconds'"
                f" WHERE id = '{session.id}'"
            )
        value = session.to_value(CIPHER, now=datetime.now(UTC) - idle_for)
        self.browser._client.cookies.set("newsstand_console", value, domain="127.0.0.1", path="/console")

    async def submit(self, page: Page, action: str, **changes: str) -> Page:
        """Fill in the form with this action and submit it."""
        return await self.browser.submit(page, page.form(action), **changes)

    async def post(self, path: str, form: dict[str, str], *, origin: str | None = None, follow: bool = True) -> Page:
        """Post a form that no page has, by default with the origin of the console."""
        headers = {"Origin": origin} if origin else {}
        url = f"{self.shop.url}/console{path}"
        return Page(await self.browser._client.post(url, data=form, headers=headers, follow_redirects=follow))


OpenConsole = Callable[..., Awaitable[ConsoleBrowser]]


@pytest.fixture
async def open_console(shop: Shop) -> AsyncIterator[OpenConsole]:
    """Open a browser. With an email address, its user is signed in to the console."""
    async with AsyncExitStack() as stack:

        async def open_browser(email: str | None = None, *, follow: bool = True) -> ConsoleBrowser:
            console = ConsoleBrowser(shop, await stack.enter_async_context(patient_browser(follow=follow)))
            if email is not None:
                page = await console.sign_in(email)
                assert page.url == f"{shop.url}/console/", page.text
            return console

        yield open_browser
