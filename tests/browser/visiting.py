"""
A person at a real browser: opens pages, reads them, clicks what is there. Used by the tests and for the pictures.

The browser is the system's Chromium, driven by Playwright; no browser is ever fetched.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.identity_provider.users import DEMO_PASSWORD
from demo.stack import Stack
from demo.tour import ADDRESS, CARD
from scripts.system_packages import PACKAGES

CHROMIUM = PACKAGES["chromium"]
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, PHONE = (1200, 800), (390, 844)
GATED = "/articles/what-the-tide-gauge-knows"
GATED_END = "Give it a minute."
DECLINED, ASKS_THE_BANK = "4000 0000 0000 0002", "4000 0027 6000 3184"
PATIENCE = 10_000  # milliseconds


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser window of their own, at the magazine."""

    def __init__(self, browser: Browser, shop: Stack, *, size: tuple[int, int] = WIDE, scripts: bool = True) -> None:
        self.shop = shop
        window = browser.new_context(viewport={"width": size[0], "height": size[1]}, java_script_enabled=scripts)
        self.page: Page = window.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: self.troubles.append(f"a dialog: {dialog.message}"))
        self.page.on("console", lambda said: self._listen(said.text))
        self.email = f"reader.{secrets.token_hex(4)}@example.com"

    def close(self) -> None:
        """Close the window and forget its cookies."""
        self.page.context.close()

    @property
    def home(self) -> str:
        """Where paths lead."""
        return self.shop.magazine

    def open(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.home + path)

    def click(self, name: str) -> None:
        """Press the button or follow the link that says this, the first of several."""
        wanted = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        wanted.first.click()

    def sees(self, text: str | re.Pattern[str]) -> None:
        """Find a text on the page, soon."""
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def misses(self, text: str) -> None:
        """Find a text nowhere on the page."""
        expect(self.page.locator("body")).not_to_contain_text(text)

    def is_at(self, address: str) -> None:
        """Be at an address that begins so: a path is one of the site's."""
        full = self.home + address if address.startswith("/") else address
        expect(self.page).to_have_url(re.compile("^" + re.escape(full)))

    def sign_up(self, name: str) -> None:
        """Create an account; the sign-in page is open."""
        self.click("Create an account")
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Email address").fill(self.email)
        self.page.get_by_label("Password").fill("a-public-password")
        self.page.get_by_role("button", name="Create account").click()

    def sign_in(self, email: str) -> None:
        """Sign in as one of the people of the demo; the issuer's page is open."""
        self.page.get_by_label("Email address").fill(email)
        self.page.get_by_label("Password").fill(DEMO_PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def joins(self, name: str = "Kit Moreau", *, edition: str = "Digital", path: str = "/subscribe") -> None:
        """Sign up from the paywall or the offer, choose an edition, and arrive at the payment page."""
        self.open(f"/sign-in?next={path}")
        self.sign_up(name)
        self.choose(edition)
        self.is_at(self.shop.sandbox)

    def choose(self, edition: str) -> None:
        """Choose an edition on the plan card and go on."""
        self.page.locator(".edition", has=self.page.get_by_text(edition, exact=True)).get_by_role("radio").check()
        self.page.get_by_role("button", name="Subscribe", exact=True).click()

    def fill_in(self, card_number: str = CARD["card_number"]) -> None:
        """Fill in the payment page, with an address where one is asked for."""
        for name, value in ({"email": self.email} | ADDRESS | CARD | {"card_number": card_number}).items():
            field = self.page.locator(f"[name={name}]")
            if not field.count():
                continue
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def pay(self, card_number: str = CARD["card_number"]) -> None:
        """Fill in the payment page and press the button."""
        self.fill_in(card_number)
        self.click("Subscribe and pay")

    def subscribed(self, name: str = "Kit Moreau", *, edition: str = "Digital", path: str = "/subscribe") -> None:
        """Do all of it, up to the welcome."""
        self.joins(name, edition=edition, path=path)
        self.pay()
        self.sees(f"Welcome aboard, {name}")

    def finds(self, email: str) -> None:
        """As the support agent, sign in at the desk and open a reader's page."""
        self.open("/desk")
        self.sign_in("agent@example.com")
        self.page.get_by_label("Email address").fill(email)
        self.click("Search")
        self.page.get_by_role("link", name=email).click()

    def _listen(self, said: str) -> None:
        if "Content Security Policy" in said:
            self.troubles.append(said)


class Sitter(Visitor):
    """Somebody of the staff, at the console."""

    @property
    def home(self) -> str:
        """Where paths lead."""
        return self.shop.console

    def sits_down(self, email: str) -> None:
        """Open the console, and sign in."""
        self.open("/")
        self.sign_in(email)
        self.sees("Front page")
        self.page.wait_for_load_state()

    def presses(self, key: str) -> None:
        """Press a key of the console's, once its script is there to hear it: before, it would go nowhere."""
        until = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate("document.readyState === 'complete' && document.hasFocus()"):
            # Asked from outside: what Playwright would ask again and again inside the page is forbidden by its policy.
            assert time.monotonic() < until, "the page never had the keyboard"
            self.page.wait_for_timeout(20)
        self.page.keyboard.press(key)
