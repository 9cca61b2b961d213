"""The documentation site: generated pages are up to date, the menu is complete, and it works without the internet."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import reference
from tests.operations.processes import ROOT
from tests.support.timeouts import TIMEOUT

MENU = (ROOT / "mkdocs.yml").read_text()
PAGES = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
LOADED = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="(https?:)?//|<link\b[^>]*\bhref="(https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built strictly as in `make check`."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "var" / "site"


def test_the_generated_pages_are_up_to_date() -> None:
    assert reference.stale() == [], "run `make reference`"


def test_every_page_is_in_the_menu_and_every_entry_is_a_page() -> None:
    assert set(re.findall(r"([\w/-]+\.md)$", MENU, re.MULTILINE)) == PAGES


def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []
    styles = [path for path in site.rglob("*.css") if re.search(r"url\(['\"]?https?:", path.read_text())]
    assert styles == []
