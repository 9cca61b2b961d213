"""A service with a hosted account, and readers who use it with a browser without a screen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
from pydantic import SecretStr

from app.account.sessions import ReaderSession
from app.pages.cookies import CookieCipher
from demo.browser import Browser, Page
from demo.identity_provider.clients import ACCOUNT_CLIENT_ID, ACCOUNT_CLIENT_SECRET
from demo.identity_provider.users import DEMO_PASSWORD
from tests.support.busy_machine import patient_browser
from tests.support.shop import Person, Shop, open_shop

SESSION_KEY = "a-key-for-the-tests-and-nothing-else"
SETTINGS: dict[str, Any] = {
    "account": True,
    "account_oidc_client_id": ACCOUNT_CLIENT_ID,
    "account_oidc_client_secret": SecretStr(ACCOUNT_CLIENT_SECRET),
    "session_key": SecretStr(SESSION_KEY),
}
CIPHER = CookieCipher(SESSION_KEY, purpose="account: session")
COOKIE = "newsstand_account_session"
ADA = "ada@example.com"  # who signs in at the identity provider
SUB = "reader-ada"  # and her ID there


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A running service with a hosted account."""
    async with open_shop(database, sandbox, issuer, **SETTINGS) as opened:
        yield opened


class AccountBrowser:
    """The browser of a reader."""

    def __init__(self, shop: Shop, browser: Browser) -> None:
        self.shop, self.browser = shop, browser

    async def open(self, path: str) -> Page:
        """Open a page of the account."""
        return await self.browser.open(f"{self.shop.url}/account{path}")

    async def sign_in(self, email: str = ADA, *, path: str = "/") -> Page:
        """Open a page, and sign in at the identity provider it redirects to."""
        return await self.enter_password(await self.open(path), email)

    async def enter_password(self, page: Page, email: str = ADA) -> Page:
        """Sign in on the identity provider's page."""
        assert page.url.startswith(self.shop.issuer.url), page.text
        return await self.browser.submit(page, page.form("/authorize"), email=email, password=DEMO_PASSWORD)

    def session(self) -> ReaderSession:
        """Return the session of the cookie."""
        (value,) = self.browser.cookies(COOKIE)
        content = CIPHER.decrypt(value, max_age=timedelta(hours=8), now=datetime.now(UTC))
        found = ReaderSession.unpack(content or {})
        assert found is not None
        return found

    def use(self, session: ReaderSession) -> None:
        """Replace the session."""
        value = CIPHER.encrypt(session.pack(), now=datetime.now(UTC))
        self.browser._client.cookies.set(COOKIE, value, domain="127.0.0.1", path="/account")

    def backdate(self, **ages: timedelta) -> None:
        """Make the session's times, such as ``last_used_at``, longer ago."""
        changed: dict[str, Any] = {name: datetime.now(UTC) - age for name, age in ages.items()}
        self.use(replace(self.session(), **changed))

    def use_session_of(self, person: Person, **changes: Any) -> None:
        """Be signed in as somebody, without the identity provider."""
        now = datetime.now(UTC)
        made = ReaderSession(
            sub=person.sub,
            email=person.email,
            email_verified=True,
            name=person.sub.title(),
            form_token="t" * 32,
            started_at=now,
            last_used_at=now,
        )
        self.use(replace(made, **changes))

    async def submit(self, page: Page, action: str, **changes: str) -> Page:
        """Fill in the form with this action and submit it."""
        return await self.browser.submit(page, page.form(action), **changes)

    async def post(self, path: str, form: dict[str, str], *, origin: str | None = None, follow: bool = True) -> Page:
        """Post a form that no page has."""
        headers = {"Origin": origin} if origin else {}
        url = f"{self.shop.url}/account{path}"
        return Page(await self.browser._client.post(url, data=form, headers=headers, follow_redirects=follow))

    def leaves_for(self, page: Page) -> str:
        """Return the URL of the other site that a page continues to."""
        (meta,) = page.find("meta", **{"http-equiv": "refresh"})
        return urljoin(page.url, meta.attributes["content"].partition("url=")[2])


OpenAccount = Callable[..., Awaitable[AccountBrowser]]


@pytest.fixture
async def open_account(shop: Shop) -> AsyncIterator[OpenAccount]:
    """Open a browser. With a person, they are signed in."""
    async with AsyncExitStack() as stack:

        async def open_browser(person: Person | None = None, **changes: Any) -> AccountBrowser:
            account = AccountBrowser(shop, await stack.enter_async_context(patient_browser()))
            if person is not None:
                account.use_session_of(person, **changes)
            return account

        yield open_browser
