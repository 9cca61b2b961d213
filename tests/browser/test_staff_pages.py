"""In a real browser: signing in again before money moves, signing out, sessions of staff, and API keys."""

import re
from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor
from tests.support.timeouts import TIMEOUT

NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
pytestmark = pytest.mark.xdist_group("stack")

SIGNED_IN_LONG_AGO = "UPDATE staff_sessions SET signed_in_at = now() - interval '2 hours' WHERE sub = 'staff-agent'"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_form_is_kept_while_the_agent_signs_in_again(
    new_visitor: NewVisitor, new_agent: NewAgent, shop: Stack, *, scripts: bool
) -> None:
    reader, robin = new_visitor(), new_agent(scripts=scripts)
    reader.subscribe("Noor Castellane")
    robin.open(f"/readers?q={reader.email}")
    robin.click("Noor Castellane")
    robin.click("Refund payment")
    robin.page.get_by_label("Note").fill("Moved abroad.")
    robin.click("Review refund")
    execute_sql(shop, SIGNED_IN_LONG_AGO)
    robin.click("Refund $49")
    robin.expect_text("nothing was changed yet")
    if scripts:  # the checks are scripts
        page_checks.check(robin.page)
    robin.click("Sign in and continue")
    robin.sign_in("agent@example.com")
    robin.expect_text("Nothing was changed yet: check the form, then send it.")
    robin.expect_text("Moved abroad.")
    if scripts:  # the checks are scripts
        page_checks.check(robin.page)
    robin.click("Refund $49")
    robin.expect_text("$49 refunded")


def test_back_after_signing_out_asks_for_the_password(new_agent: NewAgent, shop: Stack) -> None:
    robin = new_agent()
    robin.open("/readers")
    httpx2.post(  # the times of sign-ins have no fractions of seconds
        f"{shop.issuer}/_issuer/users/staff-agent/age-sign-ins", json={"seconds": 2}, trust_env=False, timeout=TIMEOUT
    ).raise_for_status()
    robin.click("Sign out")
    robin.expect_text("You’re signed out")
    robin.page.go_back()
    robin.expect_url(shop.issuer)
    expect(robin.page.get_by_label("Password")).to_be_visible()
    robin.sign_in("agent@example.com")
    robin.expect_url("/readers")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_readers_are_listed_filtered_and_found(new_visitor: NewVisitor, new_agent: NewAgent, *, scripts: bool) -> None:
    reader, sam = new_visitor(), new_agent("supervisor@example.com", scripts=scripts)
    name = f"Maria de la Fuente-Castellane of the very long family name, the {'first' if scripts else 'second'}"
    reader.subscribe(name)
    sam.open("/readers")
    sam.expect_text("Paid until")
    sam.page.get_by_label("Status").select_option("Active")
    sam.page.get_by_label("Ends within 30 days").check()
    sam.page.get_by_role("button", name="Filter").focus()
    sam.page.keyboard.press("Enter")
    sam.page.wait_for_url("**ends_soon=yes*")
    expect(sam.page.get_by_label("Status")).to_have_value("active")
    expect(sam.page.get_by_label("Ends within 30 days")).to_be_checked()
    sam.click("Clear all")
    for query in ("castelane", "fuente 4242"):  # once the name is indexed
        sam.open(f"/readers?q={query}")
        sam.reload_until_shown(sam.page.get_by_role("link", name=name))
    if scripts:  # the checks are scripts
        page_checks.check(sam.page)
        sam.page.set_viewport_size({"width": 320, "height": 640})
        assert sam.page.evaluate("document.documentElement.scrollWidth") <= 320
    sam.page.get_by_role("link", name=name).click()
    expect(sam.page.get_by_role("heading", level=1)).to_have_text(name)


def test_administrator_ends_sessions_and_manages_keys(new_agent: NewAgent) -> None:
    lou, alex = new_agent("circulation@example.com"), new_agent("admin@example.com")
    alex.click("Staff")
    alex.page.wait_for_url("**/staff")
    page_checks.check(alex.page)
    alex.page.get_by_role("link", name="End sessions of Lou Petit").first.click()
    page_checks.check(alex.page)
    alex.click("End all sessions")
    alex.expect_text("of staff-circulation ended")
    lou.page.reload()
    expect(lou.page.get_by_label("Password")).to_be_visible()

    alex.click("API keys")
    alex.page.wait_for_url("**/api-keys")
    page_checks.check(alex.page)
    alex.page.get_by_label("Name").fill("The archive")
    alex.page.get_by_label("Check what readers may use").check()
    alex.click("Create key")
    expect(alex.page.get_by_label("Key", exact=True)).to_have_value(re.compile(r"^nsk_[0-9A-Za-z]{42}$"))
    page_checks.check(alex.page)
    alex.click("Go to API keys")
    alex.page.get_by_role("row", name=re.compile("The archive")).get_by_role(
        "button", name=re.compile("^Rotate")
    ).click()
    alex.expect_text("stays valid until")
    alex.click("Go to API keys")
    alex.page.get_by_role("row", name=re.compile("Replaced")).get_by_role("link", name=re.compile("^Revoke")).click()
    page_checks.check(alex.page)
    alex.click("Revoke the key")
    alex.expect_text("is revoked")
    page_checks.check(alex.page)
