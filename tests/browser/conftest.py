"""One running shop and one browser for all tests of this folder, and a window for each."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from demo.stack import Ports, Stack
from tests.browser.visiting import Visitor, chromium
from tests.support.packages import skip_without


def pytest_runtest_setup() -> None:
    """Skip the tests of this folder where there is no browser."""
    skip_without("chromium")


@pytest.fixture(scope="package")
def shop() -> Iterator[Stack]:
    """Everything, running."""
    stack = Stack(Ports.free(), report=lambda _: None)
    asyncio.run(stack.start())
    yield stack
    stack.stop()


@pytest.fixture(scope="package")
def browser(shop: Stack) -> Iterator[Browser]:
    """A browser. It starts after the shop and ends before: while it runs, this thread has an event loop."""
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, shop: Stack) -> Iterator[Callable[[], Visitor]]:
    """Open a window for somebody new. No script may have run, and nothing been refused, when the test ends."""
    opened: list[Visitor] = []

    def enter() -> Visitor:
        opened.append(Visitor(browser, shop))
        return opened[-1]

    yield enter
    for visitor in opened:
        visitor.close()
    assert [trouble for visitor in opened for trouble in visitor.troubles] == []
