"""
The templates of notifications, in each language: those of this folder, or the publisher's in their place.

A publisher's folder has the same names: ``layout.mjml``, and ``<language>/<kind>.mjml``, such as ``en/canceled.mjml``. A new
language needs all of them. ``<language>/phrases.jinja`` has macros that all templates of a language can use. Everything is
compiled and checked when a process starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel import Locale
from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.domain.notifications import COMMON_VARIABLES, KINDS, NotificationKind
from app.localization import Localization, parse_locale
from app.mail.compiler import BadTemplate, check_layout, compile_template

FOLDER = Path(__file__).parent / "templates"
LAYOUT, SUFFIX, PHRASES = "layout.mjml", ".mjml", "phrases.jinja"
LOOK = frozenset({"brand"})  # the colors of the layout
_HTML = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined)
_PLAIN = ImmutableSandboxedEnvironment(autoescape=False, undefined=StrictUndefined)


Named = tuple[NotificationKind, str]  # a template by its kind and its name


class BadTemplates(Exception):
    """Templates can't be used. There is a problem for each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of a message."""

    subject: str
    text: str
    html: str
    locale: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    subject: JinjaTemplate
    text: JinjaTemplate
    html: JinjaTemplate


@dataclass(frozen=True, slots=True)
class Templates:
    """The compiled templates, by language and name."""

    languages: Mapping[str, Mapping[Named, _Compiled]]

    def render(
        self,
        kind: NotificationKind,
        data: Mapping[str, Any],
        common: Mapping[str, Any],
        *,
        template: str | None = None,
        wanted: str | None,
        publisher: Localization,
    ) -> Rendered:
        """
        Return the text of a notification.

        :param data: the variables of the kind, not formatted yet.
        :param common: the variables of every template, and the look of the layout.
        :param template: its name; None: the kind's. In a language that doesn't have it, the kind's is used too.
        :param wanted: the reader's locale; None: unknown.
        :param publisher: the publisher's locale, which is used if there are no templates in the reader's language.
        """
        localization = self.localization(wanted, publisher)
        of_language = self.languages[localization.locale.language]
        its = of_language.get((kind, template or kind.value)) or of_language[kind, kind.value]
        said = dict.fromkeys(KINDS[kind].variables | COMMON_VARIABLES | LOOK)
        said |= dict(common) | {name: present(name, value, localization) for name, value in data.items()}
        text = its.text.render(said)
        return Rendered(
            subject=" ".join(its.subject.render(said).split()),
            text="\n\n".join(part.strip("\n") for part in text.split("\n\n") if part.strip()) + "\n",
            html=its.html.render(said),
            locale=str(localization.locale),
        )

    def localization(self, wanted: str | None, publisher: Localization) -> Localization:
        """Return the locale to write in: the reader's, else the publisher's, else English."""
        for locale in (_parsed(wanted), publisher.locale, Locale("en", "US")):
            if locale is not None and locale.language in self.languages:
                return replace(publisher, locale=locale)
        return replace(publisher, locale=Locale(next(iter(self.languages))))


def present(name: str, value: Any, localization: Localization) -> Any:
    """Return a value as people read it. Its name says whether it is a time (``…_at``, ``…_until``) or a day (``…_on``)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return localization.money(value["amount"], value["currency"])
    if name == "received_at":  # of an acknowledgement: to the minute
        return localization.date_and_time(datetime.fromisoformat(value))
    if name.endswith(("_at", "_until", "_by")):
        return localization.date(datetime.fromisoformat(value))
    if name.endswith("_on"):
        return localization.day(date.fromisoformat(value))
    return str(value)


@lru_cache(4)
def load(folder: Path | None, chosen: frozenset[Named] = frozenset()) -> Templates:
    """
    Return the templates, each from the publisher's folder if it is there.

    :param chosen: the templates that policies name, beside those of the kinds. Each must be there in a language.

    :raises BadTemplates: with the file of each problem, and the line if it is known.
    """
    problems: list[str] = []
    layout_file = _file(folder, LAYOUT)
    layout = layout_file.read_text()
    try:
        check_layout(layout, where=str(layout_file))
        _check_jinja(layout, COMMON_VARIABLES | LOOK, where=str(layout_file))
    except BadTemplate as wrong:
        raise BadTemplates(str(wrong)) from None
    problems += _unknown_files(folder, {*NotificationKind, *(name for _, name in chosen)})
    languages: dict[str, dict[Named, _Compiled]] = {}
    for language in sorted(
        {path.name for root in (FOLDER, folder) if root is not None for path in root.iterdir() if path.is_dir()}
    ):
        phrases = _phrases(folder, language)
        for kind, name in [*((kind, kind.value) for kind in NotificationKind), *sorted(chosen)]:
            file = _file(folder, f"{language}/{name}{SUFFIX}")
            try:
                languages.setdefault(language, {})[kind, name] = _compiled(file, layout, kind, phrases)
            except FileNotFoundError:
                if name == kind:
                    problems.append(f"{file}: is missing: a language needs every template")
            except BadTemplate as wrong:
                problems.append(str(wrong))
    for one in sorted(chosen):
        if not any(one in its for its in languages.values()):
            problems.append(f"{one[1]}{SUFFIX}: is missing: the catalogue names it as the template of {one[0]}")
    if problems:
        raise BadTemplates(*problems)
    return Templates(languages)


def _unknown_files(folder: Path | None, names: set[str]) -> list[str]:
    """Return a problem for each file that replaces nothing, because its name may be misspelt."""
    if folder is None:
        return []
    known = {f"{name}{SUFFIX}" for name in names}
    return [
        f"{path}: replaces no template; known are {LAYOUT} and <language>/<kind>{SUFFIX}"
        for path in sorted(folder.rglob(f"*{SUFFIX}"))
        if path.relative_to(folder).as_posix() != LAYOUT and (path.parent.parent != folder or path.name not in known)
    ]


def _file(folder: Path | None, name: str) -> Path:
    if folder is not None and (folder / name).is_file():
        return folder / name
    return FOLDER / name if (FOLDER / name).is_file() or folder is None else folder / name


def _phrases(folder: Path | None, language: str) -> str:
    """Return the macros of a language, in one line, so that the lines of a template keep their numbers."""
    file = _file(folder, f"{language}/{PHRASES}")
    return "".join(line.strip() for line in file.read_text().splitlines()) if file.is_file() else ""


def _compiled(file: Path, layout: str, kind: NotificationKind, phrases: str) -> _Compiled:
    source = file.read_text()
    _check_jinja(phrases + source, KINDS[kind].variables | COMMON_VARIABLES | LOOK, where=str(file))
    made = compile_template(source, layout, where=str(file))
    return _Compiled(
        subject=_PLAIN.from_string(phrases + made.subject),
        text=_PLAIN.from_string(phrases + made.text),
        html=_HTML.from_string(phrases + made.html),
    )


def _check_jinja(source: str, known: frozenset[str], *, where: str) -> None:
    """
    Check Jinja's syntax, and that only known variables are used.

    :raises BadTemplate: with the line.
    """
    try:
        tree = _HTML.parse(source)
    except TemplateSyntaxError as wrong:
        raise BadTemplate(where, wrong.lineno, wrong.message or "is not valid Jinja") from None
    for name in sorted(meta.find_undeclared_variables(tree) - known):
        line = next((number for number, text in enumerate(source.splitlines(), 1) if name in text), None)
        raise BadTemplate(where, line, f"unknown variable {name}; known are {', '.join(sorted(known - LOOK))}")


def _parsed(name: str | None) -> Locale | None:
    if name is None:
        return None
    try:
        return parse_locale(name)
    except ValueError:
        return None
