"""
`python -m tests.browser.screenshots`: take the pictures of the magazine into docs/pictures.

They show the running shop and nothing arranged for them, once on a wide window and once on a phone.
"""

import asyncio
import sys
from pathlib import Path

from playwright.sync_api import Browser

from demo.stack import Ports, Stack
from tests.browser.visiting import CHROMIUM, GATED, PHONE, WIDE, Sitter, Visitor, chromium

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
# As much of the plan card as there is room for, below the paywall.
AT_THE_PAYWALL = """paywall => {
  const end = document.querySelector(".plan").getBoundingClientRect().bottom + scrollY + 24
  scrollTo(0, Math.min(paywall.offsetTop - 24, Math.max(paywall.offsetTop - 220, end - innerHeight)))
}"""
SIZES = {"wide": WIDE, "phone": PHONE}


class Photographer:
    """Walks through the shop in a window of one size and takes pictures."""

    def __init__(self, browser: Browser, shop: Stack, name: str) -> None:
        self._browser, self._shop, self._name = browser, shop, name

    def walk(self) -> None:
        """Take every picture of this size."""
        reader = self._enter()
        reader.open("/")
        self._take(reader, "front")
        reader.open(GATED)
        reader.page.locator(".paywall").evaluate(AT_THE_PAYWALL)
        self._take(reader, "paywall")
        reader.joins("Nia Fontaine", edition="Digital and print", path=GATED)
        reader.fill_in()
        reader.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0) }")
        self._take(reader, "checkout")
        reader.click("Subscribe and pay")
        reader.sees("Welcome aboard")
        self._take(reader, "welcome")
        reader.click("Keep reading")
        reader.page.locator(".rest").evaluate("rest => scrollTo(0, rest.offsetTop - 400)")
        self._take(reader, "article")
        reader.open("/account")
        self._take(reader, "account")
        agent = self._enter()
        agent.finds(reader.email)
        self._take(agent, "desk")
        self._at_the_console(reader.email)

    def _at_the_console(self, email: str) -> None:
        alex = Sitter(self._browser, self._shop, size=SIZES[self._name])
        alex.sits_down("admin@example.com")
        alex.page.get_by_role("heading", name="New and lost, by week").wait_for()
        self._take(alex, "console-front")
        alex.open(f"/readers?q={email}")
        alex.page.locator(".people a").click()
        alex.page.wait_for_url("**/readers/rdr_*")
        self._take(alex, "console-reader")
        alex.page.keyboard.press("r")
        alex.page.wait_for_url("**/refund")
        self._take(alex, "console-refund")
        alex.page.keyboard.press("Enter")
        alex.page.wait_for_url("**/confirm")
        self._take(alex, "console-confirm")

    def _enter(self) -> Visitor:
        visitor = Visitor(self._browser, self._shop, size=SIZES[self._name])
        visitor.email = f"nia.{self._name}@example.com"
        return visitor

    def _take(self, visitor: Visitor, what: str) -> None:
        visitor.page.wait_for_load_state("networkidle")
        path = PICTURES / f"{what}-{self._name}.png"
        visitor.page.screenshot(path=path, animations="disabled", caret="hide")
        print(f"{path.name:<22} {path.stat().st_size / 1024:6.0f} kB")


def main() -> int:
    """Take all pictures. Returns the exit status."""
    if not CHROMIUM.exists():
        print(f"There is no {CHROMIUM} to take pictures with.", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    stack = Stack(Ports.free())
    asyncio.run(stack.start())
    try:
        with chromium() as browser:
            for name in SIZES:
                Photographer(browser, stack, name).walk()
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
