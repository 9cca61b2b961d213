"""Forms of the console in a real browser: errors beside their fields, confirmation, Back, long names and addresses."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import ViewportSize, expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor

NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
pytestmark = pytest.mark.xdist_group("stack")
NARROW: ViewportSize = {"width": 320, "height": 640}  # also a window of 640 pixels at 200 %


def open_reader(agent: ConsoleUser, email: str) -> None:
    agent.open(f"/readers?q={email}")
    agent.page.locator(".results a").first.click()
    agent.expect_url("/readers/rdr_")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_errors_are_beside_their_fields_and_back_works(
    new_visitor: NewVisitor, new_agent: NewAgent, *, scripts: bool
) -> None:
    reader, robin = new_visitor(), new_agent(scripts=scripts)
    reader.subscribe("Ola Brandt")
    open_reader(robin, reader.email)
    robin.click("Refund payment")
    amount = robin.page.get_by_label("Goodwill amount")
    expect(amount).to_be_hidden()
    robin.page.get_by_role("radio", name=re.compile("^Goodwill")).check()
    amount.fill("a lot")
    robin.page.get_by_label("Reason").select_option("other")
    robin.click("Review refund")
    expect(robin.page.get_by_role("alert")).to_be_focused()
    expect(amount).to_have_accessible_description("Enter an amount such as $10.")
    expect(robin.page.get_by_label("Note")).to_have_accessible_description("Explain the reason in the note.")
    expect(amount).to_have_value("a lot")
    if scripts:  # the checks are scripts
        page_checks.check(robin.page)
    robin.page.get_by_role("link", name="Enter an amount such as $10.").click()
    expect(amount).to_be_focused()
    amount.fill("$10.00")
    robin.page.get_by_label("Note").fill("A hard winter.")
    robin.click("Review refund")
    robin.expect_text("Refund $10?")
    robin.page.reload()
    robin.click("Refund $10")
    robin.expect_text("$10 refunded")
    robin.page.go_back()
    robin.expect_text("Refund $10?")
    robin.page.get_by_role("main").get_by_role("link", name="Back").click()
    expect(amount).to_have_value("$10.00")


def test_canceling_immediately_asks_for_confirmation(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Mads Lund", edition="Digital and print")
    open_reader(robin, reader.email)
    robin.press("c")
    robin.page.get_by_role("radio", name=re.compile("^Immediately")).check()
    robin.page.get_by_role("button", name="Cancel subscription").click()
    robin.expect_text("Nothing is refunded.")
    page_checks.check(robin.page)
    robin.page.get_by_role("button", name="Cancel immediately").press("Enter")
    robin.expect_text("Subscription canceled immediately.")
    robin.expect_text(re.compile(r"Ended on \w+ \d+, 20\d\d: canceled immediately"))
    page_checks.check(robin.page)


def test_long_names_and_addresses_fit_a_phone(new_visitor: NewVisitor, new_agent: NewAgent, shop: Stack) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Ida Holm")
    open_reader(robin, reader.email)
    name = "<b>Ünal</b> مرحبا \U0001f469\u200d\U0001f680 " + "Supercalifragilistic" * 13
    address = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 55}.example.com"
    execute_sql(shop, f"UPDATE subscribers SET name = '{name}', email = '{address}' WHERE email = '{reader.email}'")
    page = robin.page
    refund = str(page.get_by_role("link", name="Refund payment").get_attribute("href"))
    for path in (page.url, f"{page.url}/comp", shop.service + refund):
        page.set_viewport_size(NARROW)
        page.goto(path)
        robin.expect_text("<b>Ünal</b>")
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
        page_checks.check(page)
