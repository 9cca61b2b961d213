"""The articles: Markdown files with a few lines about each on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

FOLDER = Path(__file__).parent / "articles"
OPENING = 2  # paragraphs that anyone may read


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """
    One article, cut where the paywall would stand.

    `feature` is what Newsstand is asked about, none for an article that everybody may read.
    """

    slug: str
    title: str
    standfirst: str
    author: str
    section: str
    issue: str
    position: int
    feature: str | None
    art: str  # a file name under static/art
    minutes: int
    opening: Markup
    rest: Markup


def load(folder: Path = FOLDER) -> Sequence[Article]:
    """Read all articles of a folder, in the order in which the front page shows them."""
    return sorted((_read(path) for path in folder.glob("*.md")), key=lambda article: article.position)


def _read(path: Path) -> Article:
    """
    Read one article.

    :raises ValueError: if the lines on top are missing or incomplete.
    """
    head, mark, body = path.read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
    about = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    missing = {"title", "standfirst", "author", "section", "issue", "position"} - about.keys()
    if not mark or missing:
        raise ValueError(f"{path.name} lacks {', '.join(sorted(missing)) or 'its closing ---'}")
    paragraphs = [paragraph for paragraph in body.strip().split("\n\n") if paragraph.strip()]
    return Article(
        slug=path.stem,
        title=about["title"],
        standfirst=about["standfirst"],
        author=about["author"],
        section=about["section"],
        issue=about["issue"],
        position=int(about["position"]),
        feature=about.get("feature"),
        art=f"{path.stem}.svg",
        minutes=max(1, round(len(body.split()) / 220)),
        opening=_html(paragraphs[:OPENING]),
        rest=_html(paragraphs[OPENING:]),
    )


def _html(paragraphs: Sequence[str]) -> Markup:
    """Return paragraphs as HTML with proper quotation marks. What is marked safe here is our own files."""
    markdown = MarkdownIt("commonmark", {"typographer": True}).enable(["replacements", "smartquotes"])
    return Markup(markdown.render("\n\n".join(paragraphs)))  # noqa: S704
