"""
From a template in MJML with Jinja to HTML and text with Jinja.

MJML is compiled once, at start-up, by mrml. Jinja's tags pass through it as placeholders, so that they may contain any
character and stand in attributes too. The text is made of the same elements: paragraphs, and the address of each button.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from xml.parsers import expat

import mrml

_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_MARK = re.compile(r"jinja(\d+)mark")
_CONTENT = re.compile(r"[ \t]*<!--\s*content\s*-->")
_NOT_READ = frozenset({"mj-title", "mj-preview"})  # the subject, and what a list of messages shows beside it
_TITLE = re.compile(r"<mj-title>(.*?)</mj-title>", re.DOTALL)
_TEXT = (
    "mj-title mj-preview mj-style mj-raw mj-text mj-button mj-table mj-navbar-link mj-social-element mj-accordion-title"
)
_TEXT_ELEMENTS = frozenset({*_TEXT.split(), "mj-accordion-text"})
_OTHER_ELEMENTS = (
    "mjml mj-head mj-body mj-attributes mj-all mj-class mj-font mj-breakpoint mj-image mj-divider mj-spacer mj-section"
    " mj-column mj-group mj-wrapper mj-hero mj-navbar mj-social mj-accordion mj-accordion-element mj-carousel"
    " mj-carousel-image mj-html-attributes mj-selector mj-html-attribute"
)
KNOWN_ELEMENTS = frozenset({*_TEXT_ELEMENTS, *_OTHER_ELEMENTS.split()})


class BadTemplate(Exception):
    """A template can't be compiled. The message says where: the file, and the line if it is known."""

    def __init__(self, where: str, line: int | None, problem: str) -> None:
        super().__init__(f"{where}{f', line {line}' if line is not None else ''}: {problem}")


@dataclass(frozen=True, slots=True)
class Sources:
    """The compiled form of a template: three texts with Jinja."""

    subject: str
    html: str
    text: str


@dataclass(slots=True)
class _Marks:
    """Jinja's tags, replaced by placeholders that keep the number of lines."""

    tags: list[str] = field(default_factory=list)

    def hide(self, source: str) -> str:
        def mark(found: re.Match[str]) -> str:
            self.tags.append(found[0])
            return f"jinja{len(self.tags) - 1}mark" + "\n" * found[0].count("\n")

        return _JINJA.sub(mark, source)

    def show(self, compiled: str) -> str:
        return _MARK.sub(lambda found: self.tags[int(found[1])], compiled)


def compile_template(source: str, layout: str, *, where: str) -> Sources:
    """
    Compile a template.

    :param source: a whole MJML document, or the content for the layout. Its ``<mj-title>`` is the subject.
    :param layout: an MJML document with ``<!-- content -->`` where the content goes.
    :param where: the file, for messages.
    :raises BadTemplate: with the line.
    """
    marks = _Marks()
    hidden = marks.hide(source)
    is_whole = "<mjml" in hidden
    check_elements(hidden if is_whole else f"<content>{hidden}</content>", where=where)
    title = _TITLE.search(hidden)
    if title is None:
        raise BadTemplate(where, None, "has no <mj-title>, which is the subject")
    body = hidden if is_whole else _TITLE.sub("", hidden)
    document = body if is_whole else _in_layout(body, title[1], marks.hide(layout))
    try:
        compiled = mrml.to_html(document).content
    except OSError as wrong:
        raise BadTemplate(where, None, f"is not valid MJML: {wrong}") from None
    return Sources(
        subject=" ".join(marks.show(title[1]).split()), html=marks.show(compiled), text=marks.show(text_of(document))
    )


def check_elements(document: str, *, where: str) -> None:
    """
    Check that elements are closed and known, and that text is within one, because mrml doesn't say where it failed.

    :raises BadTemplate: with the line.
    """
    parser = expat.ParserCreate()
    open_elements: list[str] = []

    def begin(name: str, _: object) -> None:
        is_html = any(one in _TEXT_ELEMENTS for one in open_elements)
        if not is_html and name != "content" and name not in KNOWN_ELEMENTS and not _is_attribute(open_elements):
            raise BadTemplate(where, parser.CurrentLineNumber, f"unknown element <{name}>")
        open_elements.append(name)

    def end(_: str) -> None:
        open_elements.pop()

    def check_text(text: str) -> None:
        if _MARK.sub("", text).strip() and not any(one in _TEXT_ELEMENTS for one in open_elements):
            raise BadTemplate(where, parser.CurrentLineNumber, "text outside of an element such as <mj-text>")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, check_text
    try:
        parser.Parse(document, True)
    except expat.ExpatError as wrong:
        raise BadTemplate(where, wrong.lineno, expat.errors.messages[wrong.code]) from None


def _is_attribute(open_elements: list[str]) -> bool:
    """Return whether the next element is the name of one, whose attributes a layout sets."""
    return bool(open_elements) and open_elements[-1] == "mj-attributes"


def check_layout(layout: str, *, where: str) -> None:
    """
    Check a layout.

    :raises BadTemplate: with the line.
    """
    hidden = _Marks().hide(layout)
    check_elements(hidden, where=where)
    if not _CONTENT.search(hidden):
        raise BadTemplate(where, None, "has no <!-- content -->, where the content of a template goes")


def _in_layout(body: str, title: str, layout: str) -> str:
    with_title = layout.replace("<mj-head>", f"<mj-head><mj-title>{title}</mj-title>", 1)
    return _CONTENT.sub(lambda _: body, with_title, count=1)


class _Text(HTMLParser):
    """Collects the text of the elements that people read, and Jinja's tags between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inside: str | None = None
        self._link: str | None = None
        self._parts: list[str] = []
        self._is_read = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _NOT_READ:
            self._is_read = False
        elif tag in {"mj-text", "mj-button"}:
            self._inside, self._link, self._parts = tag, dict(attrs).get("href"), []
        elif self._inside is not None and tag in {"br", "p", "li", "tr"}:
            self._parts.append("\n")
        elif self._inside is not None and tag == "a":
            self._link = dict(attrs).get("href")

    def handle_endtag(self, tag: str) -> None:
        if tag in _NOT_READ:
            self._is_read = True
        if tag == "a" and self._inside == "mj-text" and self._link:
            self._parts.append(f" ({self._link})")
            self._link = None
        if tag != self._inside:
            return
        lines = [" ".join(line.split()) for line in "".join(self._parts).split("\n")]
        said = "\n".join(lines).strip()
        if tag == "mj-button" and self._link:
            said = f"{said}: {self._link}"
        if said:
            self.found.append(f"{said}\n\n")
        self._inside, self._link = None, None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self._parts.append(data.replace("\n", " "))
        elif self._is_read:
            self.found += [mark[0] for mark in _MARK.finditer(data)]


def text_of(document: str) -> str:
    """Return the text of an MJML document: its paragraphs, and each button with its address."""
    reader = _Text()
    reader.feed(document)
    reader.close()
    return "".join(reader.found)
