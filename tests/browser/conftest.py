"""One running shop and one browser for all tests of this folder, and a window for each."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from demo.stack import Ports, Stack
from tests.browser.visiting import CHROMIUM, Visitor, chromium

MISSING = f"no {CHROMIUM}: the magazine was not tried in a real browser (on Debian: apt-get install chromium)"


def pytest_runtest_setup() -> None:
    """Leave the tests out where there is no browser, in one line of the summary; continuous integration must have one."""
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING, pytrace=False)
        pytest.skip(MISSING)


@pytest.fixture(scope="package")
def shop() -> Iterator[Stack]:
    """Everything, running."""
    stack = Stack(Ports.free(), say=lambda _: None)
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
