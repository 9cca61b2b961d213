"""Messages in Chromium, wide and narrow: nothing scrolls sideways, and axe finds no accessibility fault."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from app.domain.notifications import NotificationKind
from app.mail.templates import load
from tests.browser import page_checks
from tests.browser.visitors import chromium
from tests.mail.test_templates import COMMON, PUBLISHER, data_for
from tests.support.packages import skip_without


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    skip_without("chromium")
    with chromium() as browser:
        opened = browser.new_page()
        yield opened
        opened.close()


@pytest.mark.parametrize("locale", ["en_US", "de_DE"])
def test_a_message_fits_any_window_and_everybody_can_read_it(page: Page, locale: str) -> None:
    for kind in NotificationKind:
        text = load(None).render(kind, data_for(kind), COMMON, wanted=locale, publisher=PUBLISHER)
        page.set_content(text.html)
        page_checks.check(page)
