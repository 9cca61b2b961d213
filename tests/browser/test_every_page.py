"""
Every page of the console and of the account in a real browser: axe, wide and narrow, light and dark, and at 200 % zoom.

The pages are found by following links from the first one. So a page without a link to it is a fault.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.routing import Match, Route

from app.account import app as account
from app.console import app as console
from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.screenshots import EARLIER_LABELS
from tests.browser.stack_database import execute_sql
from tests.browser.test_account_notices import dispute_payment
from tests.browser.test_circulation_desk import MIGRATION
from tests.browser.visitors import ConsoleUser, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]
MADE_OF_LINKS = "as => as.map(a => a.href)"
NEWEST_HAS_NO_CLAIM = """DELETE FROM claims
WHERE subscription_id = (SELECT id FROM subscriptions ORDER BY created_at DESC LIMIT 1)"""
# Answers that are no pages, and pages that no link leads to: another test opens them.
OTHERWISE: Mapping[str, str] = {
    "/sign-in": "redirects to the identity provider",
    "/signed-in": "redirects to the page that was asked for",
    **dict.fromkeys(["/readers/{reader}/evidence", "/readers/{reader}/export"], "a download"),
    "/signed-out": "tests/browser/test_console.py::test_error_and_sign_out_pages_are_accessible",
    "/continue": "tests/browser/test_staff_pages.py::test_form_is_kept_while_the_agent_signs_in_again",
    "/payments/{payment}/refund/confirm": "tests/browser/test_console.py::test_refund_with_the_keyboard_alone",
    "/refunds/{refund}": "tests/browser/test_console.py::test_refund_with_the_keyboard_alone",
    "/approvals/{request}": (
        "tests/browser/test_console.py::test_cancel_resume_extend_comp_and_goodwill_with_approval"
    ),
    "/readers/{reader}/comp/confirm": (
        "tests/browser/test_account_notices.py"
        "::test_complimentary_access_is_shown_and_a_used_guarantee_is_not_sold_again"
    ),
    "/subscriptions/{subscription}/cancel-now": (
        "tests/browser/test_forms.py::test_canceling_immediately_asks_for_confirmation"
    ),
    "/subscriptions/{subscription}/resume": (
        "tests/browser/test_console.py::test_cancel_resume_extend_comp_and_goodwill_with_approval"
    ),
    "/api-keys/new": "tests/browser/test_staff_pages.py::test_administrator_ends_sessions_and_manages_keys",
    **dict.fromkeys(["/webhook-endpoints/new", "/comps/new/confirm"], "opened below, by a form"),
    "/issues/{number}/confirm": (
        "tests/browser/test_circulation.py::test_circulation_plans_an_issue_and_previews_its_labels"
    ),
    "/erasures/{erasure}": "tests/browser/test_console.py::test_export_and_erase_a_reader",
}
OTHERWISE_OF_READERS: Mapping[str, str] = {
    "/sign-in": "redirects to the identity provider",
    "/signed-in": "redirects to the page that was asked for",
    "/signed-out": "tests/browser/test_account.py::test_error_pages_and_the_sign_out_page_are_accessible",
    **dict.fromkeys(["/card", "/address/remove", "/holds/lift"], "redirects to the page with the form"),
    "/leaving": "redirects to Stripe",
    "/withdraw": "tests/browser/test_leaving.py::test_reader_withdraws_in_two_steps_and_keeps_an_acknowledgment",
    "/brand.css": "no page",
    "/logo": "no page",
    "/subscribe": "tests/browser/test_account.py::test_one_link_is_enough_to_subscribe_cancel_and_resume",
    "/welcome": "tests/browser/test_account.py::test_one_link_is_enough_to_subscribe_cancel_and_resume",
    "/resume": "tests/browser/test_account.py::test_one_link_is_enough_to_subscribe_cancel_and_resume",
    "/declarations/{declaration}": (
        "tests/browser/test_leaving.py::test_reader_withdraws_in_two_steps_and_keeps_an_acknowledgment"
    ),
    "/declarations/{declaration}/text": "no page",
}


def pages_of(application: Starlette, otherwise: Mapping[str, str]) -> dict[str, Route]:
    """Return the routes with pages that links lead to, by their path."""
    found = {
        route.path: route
        for route in application.routes
        if isinstance(route, Route) and "GET" in (route.methods or ()) and not re.search(r"\.(csv|svg)$", route.path)
    }
    assert sorted(otherwise.keys() - found.keys()) == []
    return {path: route for path, route in found.items() if path not in otherwise}


def route_of(routes: Mapping[str, Route], path: str) -> str | None:
    """Return the path of the first route that answers this request."""
    scope = {"type": "http", "method": "GET", "path": path}
    return next((known for known, route in routes.items() if route.matches(scope)[0] == Match.FULL), None)


def follow_links(page: Page, home: str, routes: Mapping[str, Route], *, first: Iterable[str] = ("/",)) -> Iterator[str]:
    """Open the first pages, and one page of each route that links lead to. Yield the route of each, while it is open."""
    known: set[str | None] = {"/"}
    ahead = deque((path.partition("?")[0], path) for path in first)
    while ahead:
        route, path = ahead.popleft()
        page.goto(home + path)
        yield route
        for link in page.eval_on_selector_all("a[href]", MADE_OF_LINKS):
            if not link.startswith(home):
                continue
            path = link.removeprefix(home) or "/"
            found = route_of(routes, re.split("[?#]", path)[0])
            if found is not None and found not in known:
                known.add(found)
                ahead.append((found, path))


@pytest.fixture
def subscriber(new_visitor: Callable[[], Visitor], shop: Stack) -> Visitor:
    """Somebody with a printed copy and an announced price, beside somebody with a claim and a disputed payment."""
    disputing, reader = new_visitor(), new_visitor()
    disputing.subscribe("Dina Disputes", edition="Digital and print")
    dispute_payment(shop, disputing.email)
    reader.subscribe("Maren Holt", edition="Digital and print")
    execute_sql(shop, EARLIER_LABELS)
    execute_sql(shop, NEWEST_HAS_NO_CLAIM)
    execute_sql(shop, MIGRATION)
    return reader


def test_every_page_of_the_console(subscriber: Visitor, new_agent: Callable[..., ConsoleUser], shop: Stack) -> None:
    alex = new_agent("admin@example.com")
    alex.open("/webhook-endpoints")
    alex.page.get_by_label("Name").fill("Fulfilment")
    alex.page.get_by_label("URL").fill("https://hooks.example.com/newsstand")
    alex.click("Add endpoint")
    alex.expect_text("It is shown only once")
    page_checks.check(alex.page)
    alex.open("/comps/new")
    alex.page.get_by_label("The person’s ID at the identity provider").fill("guest@example.com")
    alex.click("Review")
    alex.page.wait_for_url("**/comps/new/confirm*")
    page_checks.check(alex.page)
    alex.open(f"/readers?q={subscriber.email}")
    alex.reload_until_shown(alex.page.get_by_role("link", name="Maren Holt"))
    routes, opened = pages_of(console.application(), OTHERWISE), set()

    last_month = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    alex.open("/claims")
    issue = alex.page.locator("tbody a").first.get_attribute("href") or ""
    first = ("/", f"/liability?month={last_month:%Y-%m}", issue.removeprefix("/console"))
    for route in follow_links(alex.page, shop.console, routes, first=first):
        page_checks.check(alex.page)
        opened.add(route)

    assert sorted(routes.keys() - opened) == []


def test_every_page_of_the_account(subscriber: Visitor, shop: Stack) -> None:
    routes, opened = pages_of(account.application(), OTHERWISE_OF_READERS), set()

    for route in follow_links(subscriber.page, shop.account, routes):
        page_checks.check(subscriber.page)
        opened.add(route)

    assert sorted(routes.keys() - opened) == []
