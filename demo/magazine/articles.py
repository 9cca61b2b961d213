"""The articles: Markdown files with front matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

FOLDER = Path(__file__).parent / "articles"
FREE_PARAGRAPHS = 2  # at the start of a subscribers' article


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """
    An article, split at the paywall.

    ``feature`` is the Newsstand feature that the reader needs; None for a free article.
    """

    slug: str
    title: str
    standfirst: str
    author: str
    section: str
    issue: str
    position: int
    feature: str | None
    art: str  # file name in static/art
    minutes: int  # reading time
    opening: Markup
    rest: Markup


def load(folder: Path = FOLDER) -> Sequence[Article]:
    """Read all articles in a folder, in the order of the front page."""
    return sorted((_read(path) for path in folder.glob("*.md")), key=lambda article: article.position)


def _read(path: Path) -> Article:
    """
    Read an article.

    :raises ValueError: if its front matter is missing or incomplete.
    """
    front_matter, separator, body = path.read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
    fields = dict(line.split(": ", 1) for line in front_matter.splitlines() if ": " in line)
    missing = {"title", "standfirst", "author", "section", "issue", "position"} - fields.keys()
    if not separator or missing:
        raise ValueError(f"{path.name}: missing {', '.join(sorted(missing)) or 'the closing ---'}")
    paragraphs = [paragraph for paragraph in body.strip().split("\n\n") if paragraph.strip()]
    return Article(
        slug=path.stem,
        title=fields["title"],
        standfirst=fields["standfirst"],
        author=fields["author"],
        section=fields["section"],
        issue=fields["issue"],
        position=int(fields["position"]),
        feature=fields.get("feature"),
        art=f"{path.stem}.svg",
        minutes=max(1, round(len(body.split()) / 220)),
        opening=_html(paragraphs[:FREE_PARAGRAPHS]),
        rest=_html(paragraphs[FREE_PARAGRAPHS:]),
    )


def _html(paragraphs: Sequence[str]) -> Markup:
    """Return paragraphs as HTML with typographic quotation marks. Only our own files are marked as safe HTML."""
    markdown = MarkdownIt("commonmark", {"typographer": True}).enable(["replacements", "smartquotes"])
    return Markup(markdown.render("\n\n".join(paragraphs)))  # noqa: S704
