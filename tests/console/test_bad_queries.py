"""Addresses that somebody has changed: every query parameter of every page, with values that it doesn't expect."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app.console import app as console
from app.console.access_control import NamedRoute
from app.console.audit import FILTERS, FORMER_FILTERS
from app.console.reader_search import FLAGS
from tests.console.conftest import OpenConsole
from tests.support.shop import Shop

BAD = (
    "",
    "soon",
    "9" * 100,
    "-1",
    "2026-02-30",
    "0001-01-01",
    "9999-12-31",
    "\x07%\u202e<b>\U0001f4f0",
    "~",
    "nan~nan~nan",
    "9999-12-31T23:59:59+00:00~x",
    "dispute~9999-12-31T23:59:59-14:00~x",
)


CALLS = re.compile(r'(?:query|query_params\.get|_day)\((?:request, )?"(\w+)"')
SOURCES = Path(inspect.getfile(console)).parent
NAMES = {
    *FILTERS,
    *FORMER_FILTERS,
    *FLAGS,
    "draft",
    "plan",
    "edition",
    *(name for path in SOURCES.glob("*.py") for name in CALLS.findall(path.read_text())),
}


def pages() -> Iterator[str]:
    """Yield the path of each page."""
    for route in console.application().routes:
        if isinstance(route, NamedRoute) and "GET" in (route.methods or ()):
            yield route.path


def test_parameters_are_found() -> None:
    assert {"month", "after", "view", "kind", "q", "plan", "status", "figures", "supplement", "line", "year"} <= NAMES


@pytest.mark.parametrize("value", BAD, ids=range(len(BAD)))
async def test_bad_values_in_an_address_are_refused_or_ignored(
    shop: Shop, open_console: OpenConsole, value: str
) -> None:
    alex = await open_console("admin@example.com")
    await shop.plan_issues(2)
    await shop.execute("INSERT INTO subscribers (id, sub, name) VALUES ('rdr_1', 'ada', 'Ada')")
    query = urlencode([(name, value) for name in sorted(NAMES)] + [(name, "x") for name in NAMES])  # each twice
    for template in pages():
        path = re.sub(r"\{\w+\}", "made-up", template.replace("{reader}", "rdr_1").replace("{number}", "1"))
        answer = await alex.browser._client.get(
            f"{shop.url}/console{path}?{query}", headers={"accept": "text/html"}, follow_redirects=False
        )
        assert answer.status_code in {200, 303, 404, 422}, f"{path}: {answer.status_code} {answer.text[:500]}"
        if answer.status_code in {404, 422}:
            assert '<p class="actions"><a class="button' in answer.text, path
