"""A shop with a console, and people who sit at it with a browser that has no screen."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from demo.browser import Browser, Page
from demo.identity_provider.app import CONSOLE_CLIENT_ID, CONSOLE_CLIENT_SECRET
from demo.identity_provider.users import DEMO_PASSWORD
from tests.support.shop import Shop, open_shop

SESSION_KEY = "a-key-of-the-tests-and-of-nothing-else"
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


class Sitter:
    """Somebody at the console."""

    def __init__(self, shop: Shop, browser: Browser) -> None:
        self.shop, self.browser = shop, browser

    async def open(self, path: str) -> Page:
        """Open a page of the console."""
        return await self.browser.open(f"{self.shop.url}/console{path}")

    async def signs_in(self, email: str, *, path: str = "/") -> Page:
        """Open a page, and sign in at the identity provider, which comes between."""
        page = await self.open(path)
        assert page.url.startswith(self.shop.issuer.url), page.text
        return await self.browser.submit(page, page.form("/authorize"), email=email, password=DEMO_PASSWORD)

    async def sends(self, page: Page, action: str, **changes: str) -> Page:
        """Fill in a form of a page and send it."""
        return await self.browser.submit(page, page.form(action), **changes)


Sit = Callable[..., Awaitable[Sitter]]


@pytest.fixture
async def sit(shop: Shop) -> AsyncIterator[Sit]:
    """Have somebody sit down; with an address, they sign in first."""
    async with AsyncExitStack() as stack:

        async def down(email: str | None = None, *, follow: bool = True) -> Sitter:
            sitter = Sitter(shop, await stack.enter_async_context(Browser(follow=follow)))
            if email is not None:
                page = await sitter.signs_in(email)
                assert page.url == f"{shop.url}/console/", page.text
            return sitter

        yield down
