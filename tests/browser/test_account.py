"""The hosted account in a real browser: each action, on a phone and wide, zoomed, without script, and by keyboard."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.visitors import Visitor

pytestmark = pytest.mark.xdist_group("stack")
LONG, RIGHT_TO_LEFT, EMOJI, HTML = "N" * 300, "مريم عبد الله", "📚🚢" * 20, "<script>alert(1)</script>"
NARROW = (320, 640)  # as a window of 640 pixels at a zoom of 200 %, and what WCAG 2.2 asks for (1.4.10)


class AccountReader(Visitor):
    """A reader at the hosted account."""

    @property
    def home(self) -> str:
        """The URL that paths are relative to."""
        return self.shop.account

    def check(self) -> None:
        """Check the page as others are, and in a window of 320 pixels."""
        page_checks.check(self.page)
        self.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0], f"{self.page.url} is too wide"
        self.page.set_viewport_size({"width": 1200, "height": 800})

    def tab_to(self, name: str) -> None:
        """Press Tab until the control with this name has the focus."""
        for _ in range(30):
            self.page.keyboard.press("Tab")
            if name in str(self.page.evaluate("document.activeElement.textContent")):
                return
        pytest.fail(f"{name} can't be reached with the keyboard")


NewReader = Callable[..., AccountReader]


@pytest.fixture
def new_reader(browser: Browser, shop: Stack) -> Iterator[NewReader]:
    """Open a window. The test fails if a page has an error or violates its security policy."""
    opened: list[AccountReader] = []

    def open_window(*, scripts: bool = True) -> AccountReader:
        opened.append(AccountReader(browser, shop, scripts=scripts))
        return opened[-1]

    yield open_window
    for reader in opened:
        reader.close()
    assert [error for reader in opened for error in reader.errors] == []


def test_one_link_is_enough_to_subscribe_cancel_and_resume(new_reader: NewReader) -> None:
    maren = new_reader()
    maren.open("/subscribe?plan=annual&edition=print")
    maren.sign_up("Maren Osei")
    expect(maren.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    maren.check()
    maren.page.get_by_label("Promotion code").fill("NOPE")
    maren.click("Continue to payment")
    maren.expect_text("The code “NOPE” isn’t valid or has expired.")
    maren.check()
    maren.page.get_by_label("Promotion code").fill("")
    maren.click("Continue to payment")
    maren.expect_url(maren.shop.sandbox)
    maren.pay()
    maren.expect_text("Welcome, Maren Osei")
    maren.check()
    maren.click("Your subscription")
    maren.expect_text("Your subscription is active. It renews on ")
    maren.expect_text("$73 a year")
    maren.check()
    maren.page.get_by_role("link", name="Invoices", exact=True).click()
    maren.expect_text("Paid")
    maren.check()
    maren.open("/")
    maren.click("Change your card")
    maren.expect_url(maren.shop.sandbox)
    maren.open("/cancel")
    maren.expect_text("You’ll keep access until ")
    maren.check()
    maren.page.get_by_label("Anything else we should know?").fill("x" * 1001)
    maren.click("Cancel my subscription")
    maren.expect_text("Use 1,000 characters or fewer.")
    maren.check()
    maren.page.get_by_label("Anything else we should know?").fill("")
    maren.click("Cancel my subscription")
    maren.expect_text("Canceled. You have access until ")
    maren.check()
    maren.click("Keep my subscription")
    maren.expect_text("Your subscription will renew as usual.")


def test_money_back_works_without_script_and_by_keyboard_only(new_reader: NewReader) -> None:
    ben = new_reader(scripts=False)
    ben.open("/subscribe")
    ben.sign_up("Ben Without Script")
    ben.click("Continue to payment")
    ben.page.wait_for_url(f"{ben.shop.sandbox}/**")
    ben.pay()
    ben.expect_text("Welcome, Ben Without Script")
    ben.open("/")
    ben.tab_to("Get your money back")
    ben.page.keyboard.press("Enter")
    ben.expect_text("Get your $49 back")
    ben.tab_to("Refund $49 and end my subscription")
    ben.page.keyboard.press("Enter")
    ben.expect_url("/")
    ben.expect_text("Your subscription was refunded and ended on ")
    ben.tab_to("Sign out")
    ben.page.keyboard.press("Enter")
    ben.expect_text("You’re signed out")
    ben.open("/")
    ben.expect_url(ben.shop.issuer)


@pytest.mark.parametrize("name", [LONG, RIGHT_TO_LEFT, EMOJI, HTML], ids=["long", "right to left", "emoji", "HTML"])
def test_any_name_fits_on_the_pages(new_reader: NewReader, name: str) -> None:
    reader = new_reader()
    reader.open("/")
    reader.sign_up(name)
    reader.expect_text("You don’t have a subscription")
    expect(reader.page.get_by_role("contentinfo")).to_contain_text(name[:100])
    reader.check()


def test_error_pages_and_the_sign_out_page_are_accessible(new_reader: NewReader) -> None:
    reader = new_reader()
    reader.open("/missing")
    reader.expect_text("Page not found")
    reader.check()
    reader.open("/signed-out")
    reader.expect_text("You’re signed out")
    reader.check()
