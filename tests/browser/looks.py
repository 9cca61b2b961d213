"""What every page must be: no wider than the window, and usable by everybody as far as axe can tell."""

import itertools
import os
from pathlib import Path
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.visiting import PHONE, WIDE

# Only what is graver than moderate comes back: the whole report is a hundred times as much to carry over.
GRAVE = """async () => (await axe.run({resultTypes: ["violations"]})).violations
  .filter(fault => ["serious", "critical"].includes(fault.impact))
  .flatMap(fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`))"""

# Continuous integration keeps a picture of every page that was looked at.
PICTURES = Path("var/screenshots") if os.environ.get("CI") == "true" else None
_NUMBERS = itertools.count(1)


def check(page: Page) -> None:
    """Look at the open page on a phone and by night, then wide and by day."""
    page.evaluate(AXE_SCRIPT)
    _look(page, PHONE, "dark")
    _look(page, WIDE, "light")


def _look(page: Page, size: tuple[int, int], scheme: Literal["dark", "light"]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    if PICTURES is not None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{next(_NUMBERS):03}-{size[0]}.jpg", type="jpeg", quality=60)
    where = f"{page.url} ({size[0]} px, {scheme})"
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0], f"{where} scrolls sideways"
    grave = page.evaluate(GRAVE)
    assert not grave, "\n".join([where, *grave])
