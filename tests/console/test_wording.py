"""The wording of the console's pages: plain statements that speak to the person."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.console import labels, templating

TEMPLATES = sorted(Path(templating.FOLDER / "templates").glob("*.html"))
INVERTED = re.compile(r"^(Whose|What|Nobody|Somebody|There is no such)\b")
AVOIDED = re.compile(
    r"\b(whoever|whatever|nobody|somebody|given back|goes on|go on|is told|are told|anew|looked at|at once)\b", re.I
)


class TextParser(HTMLParser):
    """Collects what a person reads: the text, and the attributes that are shown or read aloud."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [
            value for name, value in attrs if value and name in {"placeholder", "title", "aria-label", "alt"}
        ]

    def handle_data(self, data: str) -> None:
        self.texts += [line.strip() for line in data.splitlines() if line.strip()]


def texts_of(template: Path) -> list[str]:
    parser = TextParser()
    parser.feed(re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "\n", template.read_text(), flags=re.S))
    return parser.texts


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_pages_use_plain_statements(template: Path) -> None:
    texts = texts_of(template)
    assert texts or template.name == "macros.html"
    for text in texts:
        assert not INVERTED.search(text), text
        assert not AVOIDED.search(text), text


def test_labels_begin_with_a_capital_letter() -> None:
    for code, text in labels.LABELS.items():
        assert text[0].isupper(), code
        assert not AVOIDED.search(text), code


@pytest.mark.parametrize(
    ("text", "label"),
    [("press: The county library.", "Press or library: The county library."), ("press", "Press or library"), (None, "–"),
     ("a_new_code", "A new code"), ("policy:duplicate", "Duplicate")],
)  # fmt: skip
def test_reasons_are_shown_as_labels(text: str | None, label: str) -> None:
    assert labels.reason(text) == label
