"""The magazine, the sign-in pages and the payment page in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.visitors import CARD_WITH_3D_SECURE, DECLINED_CARD, GATED_ARTICLE, GATED_ARTICLE_END, Visitor

NewVisitor = Callable[[], Visitor]
pytestmark = pytest.mark.xdist_group("stack")


def test_reader_subscribes_cancels_resumes_and_gets_a_refund(new_visitor: NewVisitor) -> None:
    """Checks the layout and the accessibility of every page on the way."""
    ada = new_visitor()
    ada.open("/")
    page_checks.check(ada.page)
    ada.page.get_by_role("heading", name="What the Tide Gauge Knows").click()
    ada.expect_url(GATED_ARTICLE)
    ada.expect_text("The rest of this article is for subscribers.")
    ada.expect_no_text(GATED_ARTICLE_END)
    page_checks.check(ada.page)

    expect(ada.page.get_by_role("heading", name="$49 a year")).to_be_visible()
    ada.choose("Digital and print")  # signing up continues to the payment of the choice
    page_checks.check(ada.page)
    ada.sign_up("Ada Fontaine")
    ada.expect_url(ada.shop.sandbox)
    page_checks.check(ada.page)
    ada.pay()

    ada.expect_url("/welcome")
    ada.expect_text("Welcome aboard, Ada Fontaine")
    page_checks.check(ada.page)
    ada.click("Keep reading")
    ada.expect_text(GATED_ARTICLE_END)
    page_checks.check(ada.page)

    ada.click("Account")
    ada.expect_text("Your subscription is active. It renews on ")
    ada.expect_text("Digital and print")
    ada.expect_text("$73 a year")
    page_checks.check(ada.page)
    ada.click("Cancel my subscription")
    ada.expect_text("Canceled. You have access until ")
    page_checks.check(ada.page)
    ada.click("Keep my subscription")
    ada.expect_text("It renews on ")

    ada.click("Get a refund")
    ada.expect_text("Get your $73 back")
    page_checks.check(ada.page)
    ada.page.get_by_role("button", name="Refund $73").dblclick()
    ada.expect_url("/account")
    ada.expect_text("Your subscription was refunded and ended on ")
    page_checks.check(ada.page)
    ada.open(GATED_ARTICLE)
    ada.expect_text("Your subscription was refunded. Subscribe again to keep reading.")
    ada.expect_no_text(GATED_ARTICLE_END)


def test_reader_can_pay_with_another_card_after_a_decline(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.start_subscribing(edition="Digital and print", path=GATED_ARTICLE)
    reader.pay(DECLINED_CARD)
    reader.expect_text("declined")
    reader.expect_url(reader.shop.sandbox)
    page_checks.check(reader.page)
    expect(reader.page.get_by_label("Address", exact=True)).to_have_value("14 Cable Street")  # filled in already
    reader.pay()
    reader.expect_text("Welcome aboard")


def test_payment_with_3d_secure_authentication(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.start_subscribing()
    reader.pay(CARD_WITH_3D_SECURE)
    reader.expect_text("Confirm your payment")
    page_checks.check(reader.page)
    reader.click("Complete authentication")
    reader.expect_url("/welcome")
    reader.expect_text("Welcome aboard")


def test_going_back_after_paying_does_not_charge_again(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.subscribe()
    reader.page.go_back()
    reader.expect_url(reader.shop.sandbox)
    reader.expect_text("You’ve already paid")
    page_checks.check(reader.page)
    reader.click("Continue")
    reader.expect_text("Welcome aboard")
    reader.open("/subscribe")
    reader.expect_text("You’re subscribed")
    expect(reader.page.get_by_role("link", name="Subscribe")).to_have_count(0)
    page_checks.check(reader.page)
    agent = new_visitor()
    agent.find_reader(reader.email)
    expect(agent.page.locator(".payment")).to_have_count(1)


def test_leaving_the_payment_page_keeps_the_choice(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.start_subscribing(edition="Digital and print", path=GATED_ARTICLE)
    reader.click("Back")
    reader.expect_text("You haven’t been charged.")
    page_checks.check(reader.page)
    expect(reader.page.get_by_role("radio", name="Digital and print")).to_be_checked()


def test_support_desk_shows_a_name_with_html_as_text(new_visitor: NewVisitor) -> None:
    name = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    reader, agent = new_visitor(), new_visitor()
    reader.subscribe(name)
    agent.open("/desk")
    agent.sign_in("agent@example.com")
    page_checks.check(agent.page)
    agent.open(f"/desk?q={reader.email}")
    agent.expect_text(name)
    page_checks.check(agent.page)
    agent.page.get_by_role("link", name=reader.email).click()
    agent.expect_text(name)
    page_checks.check(agent.page)
    agent.click("Refund $49 under the guarantee")
    agent.expect_text("Refund of $49: succeeded.")
    page_checks.check(agent.page)
    reader.open("/account")
    reader.expect_text("Your subscription was refunded")
    expect(reader.page.get_by_role("heading", level=1)).to_have_text(name)
    page_checks.check(reader.page)
    for page in (reader.page, agent.page):
        expect(page.locator("body script, img[src=x]")).to_have_count(0)


@pytest.mark.parametrize("path", ["/subscribe", "/articles/the-last-timetable", "/nothing-here", "/desk"])
def test_page_is_responsive_and_accessible(new_visitor: NewVisitor, path: str) -> None:
    visitor = new_visitor()
    visitor.open(path)
    page_checks.check(visitor.page)
    visitor.page.set_viewport_size({"width": 320, "height": 700})  # the narrowest phones
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_local_stripes_page_lists_events_and_is_accessible(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.subscribe("Ada Invented")
    reader.page.goto(reader.shop.sandbox)
    reader.expect_text("checkout.session.completed")
    reader.expect_text(reader.email)
    page_checks.check(reader.page)


def test_sign_in_pages_show_errors(new_visitor: NewVisitor, shop: Stack) -> None:
    visitor = new_visitor()
    visitor.open("/sign-in")
    page_checks.check(visitor.page)
    visitor.sign_in("nobody@example.com")
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    page_checks.check(visitor.page)
    visitor.click("Create an account")
    page_checks.check(visitor.page)
    visitor.page.goto(f"{shop.issuer}/authorize")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign-in failed"))
    page_checks.check(visitor.page)


def test_plan_card_works_with_the_keyboard(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    visitor.open(GATED_ARTICLE)
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to content")).to_be_focused()
    digital = visitor.page.get_by_role("radio", name=re.compile("^Digital Every"))
    digital.focus()
    visitor.page.keyboard.press("ArrowDown")
    expect(visitor.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    visitor.page.keyboard.press("Enter")  # submits the form
    visitor.expect_url(visitor.shop.issuer)


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ("<p style='color: #bbb; background: #fff'>faint</p>", "color-contrast"),
        ("<img src='data:,'>", "image-alt"),
        ("<p style='width: 500px'>wide</p>", "scrolls sideways"),
    ],
)
def test_layout_and_accessibility_checks_find_faults(new_visitor: NewVisitor, html: str, message: str) -> None:
    visitor = new_visitor()
    visitor.page.set_content(f"<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{html}</main>")
    with pytest.raises(AssertionError, match=message):
        page_checks.check(visitor.page)
