"""The magazine, the sign-in pages and the payment page in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import looks
from tests.browser.visiting import ASKS_THE_BANK, DECLINED, GATED, GATED_END, Visitor

Visit = Callable[[], Visitor]
pytestmark = pytest.mark.xdist_group("browser")  # these tests share one stack and one browser


def test_reader_subscribes_cancels_resumes_and_gets_a_refund(visit: Visit) -> None:
    """Checks the layout and the accessibility of every page on the way."""
    ada = visit()
    ada.open("/")
    looks.check(ada.page)
    ada.page.get_by_role("heading", name="What the Tide Gauge Knows").click()
    ada.is_at(GATED)
    ada.sees("The rest of this article is for subscribers.")
    ada.misses(GATED_END)
    looks.check(ada.page)

    ada.choose("Digital and print")  # signing in keeps the choice
    looks.check(ada.page)
    ada.sign_up("Ada Fontaine")
    ada.is_at("/subscribe?print=yes")
    expect(ada.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    looks.check(ada.page)
    ada.click("Subscribe")
    ada.is_at(ada.shop.sandbox)
    looks.check(ada.page)
    ada.pay()

    ada.is_at("/welcome")
    ada.sees("Welcome aboard, Ada Fontaine")
    looks.check(ada.page)
    ada.click("Keep reading")
    ada.sees(GATED_END)
    looks.check(ada.page)

    ada.click("Account")
    ada.sees("Your subscription is active. It renews on ")
    ada.sees("Digital and print")
    ada.sees("$73 a year")
    looks.check(ada.page)
    ada.click("Cancel my subscription")
    ada.sees("Canceled. You have access until ")
    looks.check(ada.page)
    ada.click("Keep my subscription")
    ada.sees("It renews on ")

    ada.click("Get a refund")
    ada.sees("Get your $73 back")
    looks.check(ada.page)
    ada.page.get_by_role("button", name="Refund $73").dblclick()
    ada.is_at("/account")
    ada.sees("Your subscription was refunded and ended on ")
    looks.check(ada.page)
    ada.open(GATED)
    ada.sees("Your subscription was refunded. Subscribe again to keep reading.")
    ada.misses(GATED_END)


def test_reader_can_pay_with_another_card_after_a_decline(visit: Visit) -> None:
    reader = visit()
    reader.joins(edition="Digital and print", path=GATED)
    reader.pay(DECLINED)
    reader.sees("declined")
    reader.is_at(reader.shop.sandbox)
    looks.check(reader.page)
    expect(reader.page.get_by_label("Address", exact=True)).to_have_value("14 Cable Street")  # filled in already
    reader.pay()
    reader.sees("Welcome aboard")


def test_payment_with_3d_secure_authentication(visit: Visit) -> None:
    reader = visit()
    reader.joins()
    reader.pay(ASKS_THE_BANK)
    reader.sees("Confirm your payment")
    looks.check(reader.page)
    reader.click("Complete authentication")
    reader.is_at("/welcome")
    reader.sees("Welcome aboard")


def test_going_back_after_paying_does_not_charge_again(visit: Visit) -> None:
    reader = visit()
    reader.subscribed()
    reader.page.go_back()
    reader.is_at(reader.shop.sandbox)
    reader.sees("You’ve already paid")
    looks.check(reader.page)
    reader.click("Continue")
    reader.sees("Welcome aboard")
    reader.open("/subscribe")
    reader.choose("Digital")
    reader.sees("You’re already subscribed")
    looks.check(reader.page)
    agent = visit()
    agent.finds(reader.email)
    expect(agent.page.locator(".payment")).to_have_count(1)


def test_leaving_the_payment_page_keeps_the_choice(visit: Visit) -> None:
    reader = visit()
    reader.joins(edition="Digital and print", path=GATED)
    reader.click("Back")
    reader.sees("You haven’t been charged.")
    looks.check(reader.page)
    expect(reader.page.get_by_role("radio", name="Digital and print")).to_be_checked()


def test_support_desk_shows_a_name_with_html_as_text(visit: Visit) -> None:
    name = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    reader, agent = visit(), visit()
    reader.subscribed(name)
    agent.open("/desk")
    agent.sign_in("agent@example.com")
    looks.check(agent.page)
    agent.open(f"/desk?q={reader.email}")
    agent.sees(name)
    looks.check(agent.page)
    agent.page.get_by_role("link", name=reader.email).click()
    agent.sees(name)
    looks.check(agent.page)
    agent.click("Refund $49 under the guarantee")
    agent.sees("Refund of $49: succeeded.")
    looks.check(agent.page)
    reader.open("/account")
    reader.sees("Your subscription was refunded")
    expect(reader.page.get_by_role("heading", level=1)).to_have_text(name)
    looks.check(reader.page)
    for page in (reader.page, agent.page):
        expect(page.locator("body script, img[src=x]")).to_have_count(0)


@pytest.mark.parametrize("path", ["/subscribe", "/articles/the-last-timetable", "/nothing-here", "/desk"])
def test_page_is_responsive_and_accessible(visit: Visit, path: str) -> None:
    visitor = visit()
    visitor.open(path)
    looks.check(visitor.page)
    visitor.page.set_viewport_size({"width": 320, "height": 700})  # the narrowest phones
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_local_stripes_page_lists_events_and_is_accessible(visit: Visit) -> None:
    reader = visit()
    reader.subscribed("Ada Invented")
    reader.page.goto(reader.shop.sandbox)
    reader.sees("checkout.session.completed")
    reader.sees(reader.email)
    looks.check(reader.page)


def test_sign_in_pages_show_errors(visit: Visit, shop: Stack) -> None:
    visitor = visit()
    visitor.open("/sign-in")
    looks.check(visitor.page)
    visitor.sign_in("nobody@example.com")
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    looks.check(visitor.page)
    visitor.click("Create an account")
    looks.check(visitor.page)
    visitor.page.goto(f"{shop.issuer}/authorize")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(re.compile("Sign-in failed"))
    looks.check(visitor.page)


def test_plan_card_works_with_the_keyboard(visit: Visit) -> None:
    visitor = visit()
    visitor.open(GATED)
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to content")).to_be_focused()
    digital = visitor.page.get_by_role("radio", name=re.compile("^Digital Every"))
    digital.focus()
    visitor.page.keyboard.press("ArrowDown")
    expect(visitor.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    visitor.page.keyboard.press("Enter")  # submits the form
    visitor.is_at(visitor.shop.issuer)


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ("<p style='color: #bbb; background: #fff'>faint</p>", "color-contrast"),
        ("<img src='data:,'>", "image-alt"),
        ("<p style='width: 500px'>wide</p>", "scrolls sideways"),
    ],
)
def test_layout_and_accessibility_checks_find_faults(visit: Visit, html: str, message: str) -> None:
    visitor = visit()
    visitor.page.set_content(f"<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{html}</main>")
    with pytest.raises(AssertionError, match=message):
        looks.check(visitor.page)
