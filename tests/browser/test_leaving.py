"""Withdrawal and cancellation rights, in a real browser: withdrawing, and canceling without a sign-in."""

from collections.abc import Callable

import pytest

from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor

pytestmark = pytest.mark.xdist_group("stack")
NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
LONG = "N" * 200


def test_reader_withdraws_in_two_steps_and_keeps_an_acknowledgment(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.subscribe("Wilma Withdraws")
    execute_sql(reader.shop, "UPDATE subscriptions SET card_country = 'FR'")
    account = reader.shop.account
    reader.open("/account")
    reader.expect_text("Right of withdrawal")
    page_checks.check(reader.page)
    reader.page.goto(f"{account}/")
    reader.click("Withdraw from contract")
    reader.expect_text("We refund $49 to your card: everything you paid.")
    page_checks.check(reader.page)
    reader.click("Confirm withdrawal")
    reader.expect_text("We received your withdrawal")
    reader.expect_text("Acknowledgment of your withdrawal from the contract")
    page_checks.check(reader.page)
    reader.click("Your subscription")
    reader.expect_text("Your subscription was refunded and ended on")
    page_checks.check(reader.page)
    reader.page.goto(f"{account}/withdraw")
    reader.expect_text("Withdrawal isn’t possible")
    page_checks.check(reader.page)


BROKEN_WORDS = """() => [...document.querySelectorAll("dt")].flatMap(label => {
    const isBroken = word => {
        const range = document.createRange();
        range.setStart(label.firstChild, word.index);
        range.setEnd(label.firstChild, word.index + word[0].length);
        return range.getClientRects().length > 1;
    };
    return [...label.textContent.matchAll(/\\S+/g)].filter(isBroken).map(word => word[0]);
})"""


def test_german_labels_are_whole_words_on_a_narrow_phone(new_visitor: NewVisitor) -> None:
    reader = new_visitor()
    reader.subscribe("Gerda Widerruft")
    execute_sql(reader.shop, f"UPDATE subscribers SET locale = 'de' WHERE email = '{reader.email}'")
    execute_sql(reader.shop, "UPDATE subscriptions SET card_country = 'DE'")
    reader.page.set_viewport_size({"width": 360, "height": 740})
    reader.page.goto(f"{reader.shop.account}/withdraw")
    reader.expect_text("Bestätigung an")
    assert reader.page.evaluate(BROKEN_WORDS) == []


def test_contract_is_canceled_without_a_sign_in(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.page.goto(f"{reader.shop.account}/cancel-contract?lang=en")
    page_checks.check(reader.page)
    reader.page.get_by_role("link", name="Verträge hier kündigen").click()
    reader.page.get_by_label("Ihr Name").fill("<script>alert(1)</script> مريم")
    reader.page.get_by_label("E-Mail-Adresse").fill("niemand@example.com")
    reader.page.get_by_label("Vertrag:").fill(LONG)
    reader.page.get_by_text("Außerordentliche Kündigung").click()
    page_checks.check(reader.page)
    reader.click("jetzt kündigen")
    reader.expect_text("Eine außerordentliche Kündigung braucht einen Grund.")
    page_checks.check(reader.page)
    reader.page.get_by_label("Kündigungsgrund").fill("Kein Heft kam an.")
    reader.click("jetzt kündigen")
    reader.expect_text("Ihre Kündigung ist eingegangen")
    reader.expect_text("<script>alert(1)</script> مريم")
    page_checks.check(reader.page)

    robin.open("/")
    robin.expect_text("Withdrawals and cancellations to act on")
    robin.page.get_by_role("link", name="Cancellation of an unknown reader needs action").first.click()
    robin.expect_text("Kein Heft kam an.")
    page_checks.check(robin.page)
    robin.page.get_by_label("Action taken").fill("Wrote to the sender")
    robin.click("Dismiss")
    robin.expect_text("Dismissed.")
