"""
People who use the pages in a real browser, for the tests and the screenshots.

The browser is the system's Chromium, driven by Playwright. Playwright's own browsers are not downloaded.
"""

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from demo.identity_provider.users import DEMO_PASSWORD
from demo.stack import Stack
from demo.tour import ADDRESS, CARD
from scripts.system_packages import PACKAGES
from tests.support.timeouts import TIMEOUT

CHROMIUM = PACKAGES["chromium"]
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, PHONE = (1200, 800), (390, 844)
GATED_ARTICLE = "/articles/what-the-tide-gauge-knows"
GATED_ARTICLE_END = "Give it a minute."
DECLINED_CARD, CARD_WITH_3D_SECURE = "4000 0000 0000 0002", "4000 0027 6000 3184"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium."""
    expect.set_options(timeout=TIMEOUT * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """A visitor of the magazine, with a browser window of their own."""

    def __init__(self, browser: Browser, shop: Stack, *, size: tuple[int, int] = WIDE, scripts: bool = True) -> None:
        self.shop = shop
        window = browser.new_context(viewport={"width": size[0], "height": size[1]}, java_script_enabled=scripts)
        self.page: Page = window.new_page()
        self.page.set_default_timeout(TIMEOUT * 1000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        self.page.on("console", lambda message: self._check_console(message.text))
        self.email = f"reader.{secrets.token_hex(4)}@example.com"

    def close(self) -> None:
        """Close the window and forget its cookies."""
        self.page.context.close()

    @property
    def home(self) -> str:
        """The URL that paths are relative to."""
        return self.shop.magazine

    def open(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.home + path)

    def click(self, name: str) -> None:
        """Click the first button or link with this name."""
        wanted = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        wanted.first.click()

    def expect_text(self, text: str | re.Pattern[str]) -> None:
        """Wait until the page contains a text."""
        expect(self.page.get_by_role("main")).to_contain_text(text)

    def reload_until_shown(self, locator: Locator) -> None:
        """Load the page again until it shows an element: what it shows follows later than the change, a worker does it."""
        deadline = time.monotonic() + TIMEOUT
        while not locator.count():
            assert time.monotonic() < deadline, f"the page never showed {locator}: {self.page.url}"
            self.page.reload()

    def expect_no_text(self, text: str) -> None:
        """Wait until the page does not contain a text."""
        expect(self.page.locator("body")).not_to_contain_text(text)

    def expect_url(self, url: str) -> None:
        """Wait until the URL starts with this one. A path is relative to the site."""
        full = self.home + url if url.startswith("/") else url
        expect(self.page).to_have_url(re.compile("^" + re.escape(full)))

    def sign_up(self, name: str) -> None:
        """Create an account, on the sign-in page."""
        self.click("Create an account")
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_label("Email address").fill(self.email)
        self.page.get_by_label("Password").fill("a-public-password")
        self.page.get_by_role("button", name="Create account").click()

    def sign_in(self, email: str) -> None:
        """Sign in as a user of the demo, on the sign-in page."""
        self.page.get_by_label("Email address").fill(email)
        self.page.get_by_label("Password").fill(DEMO_PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def start_subscribing(
        self, name: str = "Kit Moreau", *, edition: str = "Digital", path: str = "/subscribe"
    ) -> None:
        """Sign up, choose an edition, and open the payment page."""
        self.open(f"/sign-in?next={path}")
        self.sign_up(name)
        self.choose(edition)
        self.expect_url(self.shop.sandbox)

    def choose(self, edition: str) -> None:
        """Choose an edition on the plan card, and continue."""
        self.page.locator(".edition", has=self.page.get_by_text(edition, exact=True)).get_by_role("radio").check()
        self.page.get_by_role("button", name=re.compile("^Subscribe for ")).click()

    def fill_in(self, card_number: str = CARD["card_number"]) -> None:
        """Fill in the payment page, and the address if the page asks for one."""
        for name, value in ({"email": self.email} | ADDRESS | CARD | {"card_number": card_number}).items():
            field = self.page.locator(f"[name={name}]")
            if not field.count():
                continue
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def pay(self, card_number: str = CARD["card_number"]) -> None:
        """Fill in the payment page and submit it."""
        self.fill_in(card_number)
        self.click("Subscribe and pay")

    def subscribe(self, name: str = "Kit Moreau", *, edition: str = "Digital", path: str = "/subscribe") -> None:
        """Sign up, pay, and open the welcome page."""
        self.start_subscribing(name, edition=edition, path=path)
        self.pay()
        self.expect_text(f"Welcome aboard, {name}")

    def find_reader(self, email: str) -> None:
        """Sign in to the magazine's support desk as the agent, and open a reader's page."""
        self.open("/desk")
        self.sign_in("agent@example.com")
        self.page.get_by_label("Email address").fill(email)
        self.click("Search")
        self.page.get_by_role("link", name=email).click()

    def _check_console(self, message: str) -> None:
        if "Content Security Policy" in message:
            self.errors.append(message)


class ConsoleUser(Visitor):
    """A member of staff at the console."""

    @property
    def home(self) -> str:
        """The URL that paths are relative to."""
        return self.shop.console

    def sign_in_to_console(self, email: str) -> None:
        """Open the console, and sign in."""
        self.open("/")
        self.sign_in(email)
        self.expect_text("Work queue")
        self.page.wait_for_load_state()

    def press(self, key: str) -> None:
        """Press a key once the page has loaded and has the focus: before that, the script would miss it."""
        deadline = time.monotonic() + TIMEOUT
        while not self.page.evaluate("document.readyState === 'complete' && document.hasFocus()"):
            # Polled from outside: the page's policy forbids the function that Playwright would poll inside it.
            assert time.monotonic() < deadline, "the page did not get the focus"
            self.page.wait_for_timeout(20)
        self.page.keyboard.press(key)
