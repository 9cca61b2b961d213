"""One browser for all tests of this folder, and a window for each person."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from demo.stack import Stack
from tests.browser.visitors import ConsoleUser, Visitor, chromium
from tests.support.packages import skip_without


def pytest_runtest_setup() -> None:
    """Skip the tests of this folder if Chromium is not installed."""
    skip_without("chromium")


@pytest.fixture(scope="package")
def shop(stack: Stack) -> Stack:
    """The running demo."""
    return stack


@pytest.fixture(scope="package")
def browser(shop: Stack) -> Iterator[Browser]:
    """Run a browser. It starts after the demo: while it runs, this thread has an event loop."""
    with chromium() as running:
        yield running


@pytest.fixture
def new_visitor(browser: Browser, shop: Stack) -> Iterator[Callable[[], Visitor]]:
    """Open a window for a new visitor. The test fails if a page has an error or violates its security policy."""
    opened: list[Visitor] = []

    def open_window() -> Visitor:
        opened.append(Visitor(browser, shop))
        return opened[-1]

    yield open_window
    for visitor in opened:
        visitor.close()
    assert [error for visitor in opened for error in visitor.errors] == []


@pytest.fixture
def new_agent(browser: Browser, shop: Stack) -> Iterator[Callable[..., ConsoleUser]]:
    """Sign in a member of staff. The test fails if a page has an error or violates its security policy."""
    users: list[ConsoleUser] = []

    def sign_in(email: str = "agent@example.com", *, scripts: bool = True) -> ConsoleUser:
        users.append(ConsoleUser(browser, shop, scripts=scripts))
        users[-1].sign_in_to_console(email)
        return users[-1]

    yield sign_in
    for user in users:
        user.close()
    assert [error for user in users for error in user.errors] == []
