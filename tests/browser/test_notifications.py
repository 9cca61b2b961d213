"""Mail in the console and in the demo's mailbox, in a real browser."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.visitors import ConsoleUser, Visitor

pytestmark = pytest.mark.xdist_group("stack")


def test_staff_see_what_a_reader_is_and_will_be_told(
    new_visitor: Callable[[], Visitor], new_agent: Callable[..., ConsoleUser], shop: Stack
) -> None:
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Ines Calloway")
    robin.open(f"/readers?q={reader.email}")
    robin.click("Ines Calloway")
    robin.page.get_by_role("main").get_by_role("link", name="Emails", exact=True).click()
    robin.expect_text("Notice of the renewal")
    robin.expect_text("Scheduled")
    page_checks.check(robin.page)

    day = datetime.now(UTC) + timedelta(days=335)
    robin.open(f"/notifications?day={day:%Y-%m-%d}")
    robin.expect_text("Scheduled for this day, as of now.")
    page_checks.check(robin.page)
    robin.page.goto(shop.mailbox)
    robin.expect_text("What readers of the demo were told by email")
    page_checks.check(robin.page)
