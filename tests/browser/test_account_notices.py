"""Disputes, complimentary access, a used guarantee and a second account on the pages, in a real browser."""

import re
from collections.abc import Callable

import httpx2
import pytest
from playwright.sync_api import expect

from demo.stack import STRIPE_KEY, Stack
from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor
from tests.support.timeouts import TIMEOUT

NewVisitor = Callable[[], Visitor]
pytestmark = pytest.mark.xdist_group("stack")
NewAgent = Callable[..., ConsoleUser]
GUARANTEE = "60-Day money back guarantee!"


def dispute_payment(shop: Stack, email: str) -> None:
    """Dispute a reader's payment at their bank."""
    headers = {"Authorization": f"Bearer {STRIPE_KEY}"}
    with httpx2.Client(base_url=shop.sandbox, headers=headers, timeout=TIMEOUT) as stripe:
        (customer,) = stripe.get("/v1/customers", params={"email": email}).json()["data"]
        (charge,) = stripe.get("/v1/charges", params={"customer": customer["id"]}).json()["data"]
        assert stripe.post(f"/_sandbox/charges/{charge['id']}/dispute", json={}).is_success


def open_reader(agent: ConsoleUser, email: str) -> None:
    agent.open(f"/readers?q={email}")
    agent.page.locator(".results a").click()
    agent.expect_url("/readers/rdr_")


def test_a_disputed_payment_is_shown_to_reader_and_staff(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Dina Disputes")
    dispute_payment(reader.shop, reader.email)
    reader.open("/account")
    reader.reload_until_shown(reader.page.get_by_text("Your bank is disputing your payment"))
    reader.expect_text("Your access stays on hold until the dispute is settled.")
    reader.expect_no_text("of 24 left")
    reader.expect_no_text("You’ll keep access until")
    page_checks.check(reader.page)
    open_reader(robin, reader.email)
    robin.expect_text("Access on hold: payment disputed")
    page_checks.check(robin.page)
    robin.click("Cancel subscription")
    robin.expect_text("The payment is disputed, so access is on hold")
    page_checks.check(robin.page)


def test_complimentary_access_is_shown_and_a_used_guarantee_is_not_sold_again(
    new_visitor: NewVisitor, new_agent: NewAgent
) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.start_subscribing("Cleo Comp")  # from then on support finds them
    open_reader(robin, reader.email)
    robin.click("Give complimentary access")
    robin.page.get_by_role("button", name="Give complimentary access").click()
    robin.expect_text("Complimentary access until")
    reader.open("/account")
    reader.expect_text("You have complimentary access until ")
    reader.expect_no_text("You don’t have a subscription yet.")
    page_checks.check(reader.page)

    reader.open("/subscribe")
    reader.expect_text(GUARANTEE)
    reader.choose("Digital")
    reader.pay()
    reader.expect_text("Welcome aboard")
    reader.open("/account/refund")
    reader.expect_text("You keep complimentary access until ")
    page_checks.check(reader.page)
    open_reader(robin, reader.email)
    robin.click("Refund payment")
    robin.expect_text("Complimentary access continues.")
    page_checks.check(robin.page)
    robin.click("Review refund")
    robin.expect_text(re.compile("Complimentary access continues until"))
    page_checks.check(robin.page)
    reader.page.get_by_role("button", name="Refund $49").click()
    reader.expect_text("Your subscription was refunded")
    reader.expect_text("You have complimentary access until ")
    page_checks.check(reader.page)
    reader.open("/subscribe")
    reader.expect_text("24 Issues Per Year")
    reader.expect_no_text(GUARANTEE)
    page_checks.check(reader.page)


def test_a_second_account_with_the_same_address_is_warned(
    new_visitor: NewVisitor, new_agent: NewAgent, shop: Stack
) -> None:
    first, ben, robin = new_visitor(), new_visitor(), new_agent()
    first.subscribe("Ben With Another Account")
    execute_sql(
        shop, f"UPDATE subscribers SET email = 'ben@example.com', email_verified = true WHERE email = '{first.email}'"
    )
    ben.open("/sign-in?next=/subscribe")
    ben.sign_in("ben@example.com")
    ben.choose("Digital and print")
    ben.expect_text("Another account with your email address already has a subscription.")
    page_checks.check(ben.page)
    expect(ben.page.get_by_role("radio", name="Digital and print")).to_be_checked()
    ben.click("Subscribe with this account too")
    ben.expect_url(shop.sandbox)
    robin.open("/readers?q=ben@example.com")
    expect(robin.page.locator(".results a")).to_have_count(2)
    page_checks.check(robin.page)
    robin.page.locator(".results a", has_text="Ben Okafor").click()
    robin.expect_text("Possible duplicate: Ben With Another Account has the same email address")
    page_checks.check(robin.page)
