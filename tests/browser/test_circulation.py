"""The circulation desk in a real browser: the year, a new issue, the preview of a label run, and a reader's address."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.browser import page_checks
from tests.browser.visitors import ConsoleUser, Visitor

NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
pytestmark = pytest.mark.xdist_group("stack")
NEXT = re.compile(r"^issue \d+$")


def test_circulation_plans_an_issue_and_previews_its_labels(new_agent: NewAgent) -> None:
    lou = new_agent("circulation@example.com")
    lou.page.get_by_role("navigation", name="Main").get_by_role("link", name="Issues").click()
    lou.expect_text("Next label cut-off")
    page_checks.check(lou.page)
    lou.press("n")
    lou.expect_text("Add issue")
    lou.click("Show what changes")
    expect(lou.page.get_by_role("alert")).to_be_focused()
    expect(lou.page.get_by_label("Title")).to_have_accessible_description("Enter a title.")
    page_checks.check(lou.page)
    lou.page.get_by_label("Title").fill("Supercalifragilistic" * 9)
    lou.page.get_by_label("Kind").select_option("Double issue: counts as two")
    lou.click("Show what changes")
    lou.expect_text("The labels of issue")
    page_checks.check(lou.page)
    lou.open("/issues")
    lou.page.get_by_role("link", name=NEXT).first.click()
    lou.expect_text("The labels aren’t frozen yet.")
    page_checks.check(lou.page)
    lou.press("l")
    lou.expect_text("Left out")
    page_checks.check(lou.page)


def test_support_adds_a_temporary_address_without_scripts(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent(scripts=False)
    reader.subscribe("Ada Invented", edition="Digital and print")
    robin.open(f"/readers?q={reader.email}")
    robin.page.locator(".results a").first.click()
    robin.click("Add a temporary address")
    next_year = datetime.now(UTC).year + 1
    robin.page.get_by_label("First day").fill(f"{next_year}-04-01")
    robin.page.get_by_label("Permanent address again from").fill(f"{next_year}-05-01")
    robin.page.get_by_label("Street and number").fill("3 Lake Path")
    robin.page.get_by_label("City").fill("Duluth")
    robin.page.get_by_label("State or province").fill("MN")
    robin.page.get_by_label("Postal code").fill("55801")
    robin.click("Save address")
    robin.expect_text("Address saved.")
    robin.expect_text(f"From April 1, {next_year} until May 1, {next_year}")
