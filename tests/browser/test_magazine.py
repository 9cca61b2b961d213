"""The magazine, the sign-in and the payment page in a real browser, as a reader meets them."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import looks
from tests.browser.visiting import ASKS_THE_BANK, DECLINED, GATED, GATED_END, Visitor

Visit = Callable[[], Visitor]
pytestmark = pytest.mark.xdist_group("browser")  # one shop and one browser for all


def test_from_the_wall_to_reading_on_and_to_the_money_back(visit: Visit) -> None:
    """Every page that a reader comes by is looked at on the way."""
    ada = visit()
    ada.open("/")
    looks.check(ada.page)
    ada.page.get_by_role("heading", name="What the Tide Gauge Knows").click()
    ada.is_at(GATED)
    ada.sees("The rest of this article is for subscribers.")
    ada.misses(GATED_END)
    looks.check(ada.page)

    ada.choose("Digital and print")  # not signed in yet: the issuer comes between, and the choice is kept
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
    ada.click("Read on")
    ada.sees(GATED_END)
    looks.check(ada.page)

    ada.click("Account")
    ada.sees("Your subscription is active. It renews on ")
    ada.sees("Digital and print")
    ada.sees("$73 a year")
    looks.check(ada.page)
    ada.click("Cancel my subscription")
    ada.sees("It will not renew.")
    looks.check(ada.page)
    ada.click("Keep my subscription")
    ada.sees("It renews on ")

    ada.click("Get my money back")
    ada.sees("$73 back, no questions asked")
    looks.check(ada.page)
    ada.page.get_by_role("button", name="Refund $73").dblclick()
    ada.is_at("/account")
    ada.sees("Your subscription was refunded and ended on ")
    looks.check(ada.page)
    ada.open(GATED)
    ada.sees("Your subscription was refunded, so the rest of this article is closed.")
    ada.misses(GATED_END)


def test_a_declined_card_is_said_and_another_one_pays(visit: Visit) -> None:
    reader = visit()
    reader.joins(edition="Digital and print", path=GATED)
    reader.pay(DECLINED)
    reader.sees("declined")
    reader.is_at(reader.shop.sandbox)
    looks.check(reader.page)
    expect(reader.page.get_by_label("Address", exact=True)).to_have_value("14 Cable Street")  # not typed again
    reader.pay()
    reader.sees("Welcome aboard")


def test_the_bank_may_ask_first(visit: Visit) -> None:
    reader = visit()
    reader.joins()
    reader.pay(ASKS_THE_BANK)
    reader.sees("Your bank asks you to confirm")
    looks.check(reader.page)
    reader.click("Complete authentication")
    reader.is_at("/welcome")
    reader.sees("Welcome aboard")


def test_going_back_after_paying_pays_nothing_again(visit: Visit) -> None:
    reader = visit()
    reader.subscribed()
    reader.page.go_back()
    reader.is_at(reader.shop.sandbox)
    reader.sees("This is already paid")
    looks.check(reader.page)
    reader.click("Continue")
    reader.sees("Welcome aboard")
    reader.open("/subscribe")
    reader.choose("Digital")
    reader.sees("You have a subscription already")
    looks.check(reader.page)
    agent = visit()
    agent.finds(reader.email)
    expect(agent.page.locator(".payment")).to_have_count(1)


def test_changing_ones_mind_at_the_payment_page_keeps_the_choice(visit: Visit) -> None:
    reader = visit()
    reader.joins(edition="Digital and print", path=GATED)
    reader.click("Back")
    reader.sees("Nothing was paid.")
    looks.check(reader.page)
    expect(reader.page.get_by_role("radio", name="Digital and print")).to_be_checked()


def test_at_the_desk_a_name_that_is_a_script_is_a_name_and_gets_its_money_back(visit: Visit) -> None:
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
def test_other_pages_fit_and_can_be_used_by_everybody(visit: Visit, path: str) -> None:
    visitor = visit()
    visitor.open(path)
    looks.check(visitor.page)


def test_the_local_stripes_own_page_shows_what_happened_and_can_be_used_by_everybody(visit: Visit) -> None:
    reader = visit()
    reader.subscribed("Ada Invented")
    reader.page.goto(reader.shop.sandbox)
    reader.sees("checkout.session.completed")
    reader.sees(reader.email)
    looks.check(reader.page)


def test_the_sign_in_says_what_was_wrong(visit: Visit, shop: Stack) -> None:
    visitor = visit()
    visitor.open("/sign-in")
    looks.check(visitor.page)
    visitor.sign_in("nobody@example.com")
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    looks.check(visitor.page)
    visitor.click("Make an account")
    looks.check(visitor.page)
    visitor.page.goto(f"{shop.issuer}/authorize")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(re.compile("cannot go on"))
    looks.check(visitor.page)


def test_all_can_be_done_with_the_keyboard(visit: Visit) -> None:
    visitor = visit()
    visitor.open(GATED)
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to the page")).to_be_focused()
    digital = visitor.page.get_by_role("radio", name=re.compile("^Digital Every"))
    digital.focus()
    visitor.page.keyboard.press("ArrowDown")
    expect(visitor.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    visitor.page.keyboard.press("Enter")  # sends the form that the choice is in
    visitor.is_at(visitor.shop.issuer)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("<p style='color: #bbb; background: #fff'>faint</p>", "color-contrast"),
        ("<img src='data:,'>", "image-alt"),
        ("<p style='width: 500px'>wide</p>", "scrolls sideways"),
    ],
)
def test_a_fault_would_be_seen(visit: Visit, fault: str, said: str) -> None:
    visitor = visit()
    visitor.page.set_content(f"<!doctype html><html lang=en><title>t</title><main><h1>t</h1>{fault}</main>")
    with pytest.raises(AssertionError, match=said):
        looks.check(visitor.page)
