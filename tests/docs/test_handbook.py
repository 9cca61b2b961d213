"""The staff handbook uses the words of the console's pages."""

import re

import pytest

from tests.operations.processes import ROOT

CONSOLE = ROOT / "app" / "console"
SOURCES = [*CONSOLE.glob("templates/*.html"), *CONSOLE.glob("*.py"), ROOT / "app" / "domain" / "refunds.py"]
SHOWN = " ".join(" ".join(path.read_text().split()) for path in SOURCES)
LABELS = [
    pytest.param(label, id=f"{path.stem}: {label}")
    for path in sorted((ROOT / "docs" / "staff").glob("*.md"))
    for label in dict.fromkeys(re.findall(r"\*\*([^*]+)\*\*", path.read_text()))
]


@pytest.mark.parametrize("label", LABELS)
def test_a_word_in_bold_is_on_a_page(label: str) -> None:
    assert label == "bold" or label in SHOWN
