"""The API's reference at /docs in a real browser."""

from collections.abc import Callable

import pytest

from tests.browser import page_checks
from tests.browser.visitors import Visitor

# Every article has the same structure, and axe needs minutes for all of them: keep two of each section.
A_SAMPLE = """document
  .querySelectorAll("article:nth-of-type(n+3), nav li:nth-of-type(n+3), #errors ~ div tr:nth-of-type(n+3)")
  .forEach(element => element.remove())"""
pytestmark = pytest.mark.xdist_group("stack")


def test_the_api_reference_is_accessible(new_visitor: Callable[[], Visitor]) -> None:
    developer = new_visitor()
    developer.page.goto(f"{developer.shop.service}/docs")
    developer.expect_text("API reference")
    developer.page.evaluate(A_SAMPLE)
    page_checks.check(developer.page)
