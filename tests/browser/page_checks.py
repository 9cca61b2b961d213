"""Checks of a page: it is not wider than the window, and axe finds no accessibility fault."""

import itertools
import os
from pathlib import Path
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.visitors import PHONE, WIDE

# Returns only serious and critical violations: the full report is a hundred times as large.
AXE = """async () => (await axe.run({resultTypes: ["violations"]})).violations
  .filter(fault => ["serious", "critical"].includes(fault.impact))
  .flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`))"""

# The innermost elements that end outside the window.
TOO_WIDE = """() => [...document.querySelectorAll("main *, header *, footer *")]
  .filter(one => one.getBoundingClientRect().right > innerWidth && !one.children.length)
  .map(one => one.outerHTML.slice(0, 160))"""

# Continuous integration keeps a screenshot of every checked page.
SCREENSHOTS = Path("var/screenshots") if os.environ.get("CI") == "true" else None
_NUMBERS = itertools.count(1)


def check(page: Page) -> None:
    """Check the open page on a phone in dark mode, in a wide window in light mode, and at 200 % zoom."""
    page.wait_for_load_state("load")  # the text may be there before the style sheet is
    page.evaluate(AXE_SCRIPT)
    _check(page, PHONE, "dark")
    _check_width(page, (WIDE[0] // 2, WIDE[1] // 2), "200 % zoom")  # which halves the window, in CSS pixels
    _check(page, WIDE, "light")


def _check_width(page: Page, size: tuple[int, int], how: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], f"{page.url} ({size[0]} px, {how}) scrolls sideways: {page.evaluate(TOO_WIDE)}"


def _check(page: Page, size: tuple[int, int], scheme: Literal["dark", "light"]) -> None:
    _check_width(page, size, scheme)
    page.emulate_media(color_scheme=scheme)
    if SCREENSHOTS is not None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{next(_NUMBERS):03}-{size[0]}.jpg", type="jpeg", quality=60)
    where = f"{page.url} ({size[0]} px, {scheme})"
    violations = page.evaluate(AXE)
    assert not violations, "\n".join([where, *violations])
