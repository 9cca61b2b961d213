"""In a real browser: back issues, claims, press runs, the circulation statement, and a price migration."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor

NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
pytestmark = pytest.mark.xdist_group("stack")
MIGRATION = """
INSERT INTO price_migrations (id, plan, currency, targets, versions, from_at, status, publisher_sends_notices, requested_by,
    created_at, work_key) VALUES ('pmg_0c5e', 'annual', 'usd', '[{"component": "digital", "price_id": "price_1",
    "amount": 5900}]', '{}', now(), 'running', false, 'operator:ops', now(), 'price_migration:pmg_0c5e')
    ON CONFLICT DO NOTHING;
INSERT INTO price_changes (id, migration_id, stripe_id, subscription_id, subscriber_id, status, reason, currency, items,
    renewal_at, total, tax, before, announced_at, work_key)
SELECT 'pcg_' || id, 'pmg_0c5e', stripe_id, id, subscriber_id, 'announced', NULL, 'usd', '[{"item": "si_1",
    "component": "digital", "quantity": 1, "from_price": "price_0", "from_amount": 4900, "to_price": "price_1",
    "to_amount": 5900}]', current_period_end, 6400, 500, 5300, now(), 'price:' || stripe_id FROM subscriptions
    WHERE status = 'active' ON CONFLICT DO NOTHING;
INSERT INTO price_changes (id, migration_id, stripe_id, status, reason, currency, items, work_key)
VALUES ('pcg_kept', 'pmg_0c5e', 'sub_kept', 'left_out', 'locked', 'usd', '[]', 'price:sub_kept') ON CONFLICT DO NOTHING
"""


def open_reader(agent: ConsoleUser, reader: Visitor) -> str:
    """Open the page of a reader, and return the ID of their subscription."""
    agent.open(f"/readers?q={reader.email}")
    agent.page.locator(".results a").first.click()
    href = agent.page.get_by_role("link", name="Extend subscription").get_attribute("href")
    assert href is not None
    return href.split("/")[3]


def test_support_orders_a_back_issue(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Ida Northwind", edition="Digital and print")
    subscription = open_reader(robin, reader)
    robin.click("Order a back issue")
    robin.page.get_by_label("Note").fill("The reader asks for the story on lighthouses.")
    robin.click("Order back issue")
    expect(robin.page.get_by_role("alert")).to_be_focused()
    expect(robin.page.get_by_label("Note")).to_have_value("The reader asks for the story on lighthouses.")
    page_checks.check(robin.page)
    number = robin.page.locator("#mailed option").first.get_attribute("value")
    robin.open(f"/subscriptions/{subscription}/issues/{number}/claim")
    robin.expect_text("Resolution")
    page_checks.check(robin.page)


def test_circulation_enters_a_press_run_and_reads_the_statement(new_agent: NewAgent) -> None:
    lou = new_agent("circulation@example.com")
    lou.open("/issues")
    lou.page.locator(".months a").first.click()
    lou.page.get_by_role("main").get_by_role("link", name="Circulation", exact=True).click()
    lou.page.get_by_label("Press run").fill("many")
    lou.click("Save")
    expect(lou.page.get_by_label("Press run")).to_have_value("many")
    page_checks.check(lou.page)
    lou.page.get_by_label("Press run").fill("1000")
    lou.click("Save")
    lou.expect_text(re.compile(r"Press run of issue \d+ saved"))
    page_checks.check(lou.page)
    lou.click("Circulation statement")
    lou.expect_text("in the lines of PS Form 3526")
    page_checks.check(lou.page)
    lou.open("/circulation?from=2026-03-02&to=2026-03-01")
    lou.expect_text("The first day must be before the last day")
    page_checks.check(lou.page)
    lou.open("/claims")
    lou.expect_text("Claims")
    page_checks.check(lou.page)


def test_a_price_migration_is_shown_to_staff_and_reader(
    new_visitor: NewVisitor, new_agent: NewAgent, shop: Stack
) -> None:
    reader, alex = new_visitor(), new_agent("admin@example.com")
    reader.subscribe("Juno Okafor", edition="Digital and print")
    execute_sql(shop, MIGRATION)
    alex.page.get_by_role("navigation", name="Main").get_by_role("link", name="Prices").click()
    alex.expect_text("Renewals from")
    page_checks.check(alex.page)
    alex.page.get_by_role("main").locator("tbody a").first.click()
    alex.expect_text("The price is locked in the catalogue")
    page_checks.check(alex.page)
    reader.page.goto(f"{shop.account}/")
    reader.expect_text("$64 with tax, from ")
    page_checks.check(reader.page)
    reader.page.goto(f"{shop.account}/print")
    reader.expect_text("print")
    page_checks.check(reader.page)
    alex.click("Stop this migration")
    alex.expect_text("The migration is stopped.")
    page_checks.check(alex.page)
