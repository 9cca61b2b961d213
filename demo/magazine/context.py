"""What every page of the magazine shares: the reader, the templates, the service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from newsstand_edge import Edge
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from demo.forms import csrf_token, is_our_form
from demo.magazine import messages
from demo.magazine.articles import Article
from demo.magazine.newsstand_client import Newsstand
from demo.magazine.oidc import Identity, Reader
from demo.magazine.sessions import Sessions
from demo.magazine.settings import Settings

STALE = "This form was too old. Please go back, reload the page and try again."


@dataclass(frozen=True, kw_only=True)
class Magazine:
    """The site's parts, as its pages use them."""

    settings: Settings
    articles: Sequence[Article]
    newsstand: Newsstand
    edge: Edge
    identity: Identity
    sessions: Sessions = field(default_factory=Sessions)
    templates: Jinja2Templates = field(
        default_factory=lambda: Jinja2Templates(directory=Path(__file__).parent / "templates")
    )

    def __post_init__(self) -> None:
        self.templates.env.filters["money"] = messages.money
        self.templates.env.filters["date"] = lambda value: messages.date(value, self.settings.timezone)
        self.templates.env.filters["last_day"] = lambda value: messages.last_day(value, self.settings.timezone)

    def article(self, slug: str | None) -> Article | None:
        """Return an article by the name in its address."""
        return next((article for article in self.articles if article.slug == slug), None)

    def reader(self, request: Request) -> Reader | None:
        """Return who is signed in."""
        return self.sessions.reader(request)

    def page(self, request: Request, name: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page, with what its frame needs: the reader, the form token, and a message left for them."""
        context |= {
            "reader": self.reader(request),
            "csrf": csrf_token(request),
            "notice": request.session.pop("notice", None),
            "here": request.url.path,
        }
        return self.templates.TemplateResponse(request, name, context, status_code=status)

    async def form(self, request: Request) -> FormData:
        """
        Return a form that one of our pages sent.

        :raises HTTPException: 403 for one from elsewhere.
        """
        form = await request.form()
        if not is_our_form(request, form):
            raise HTTPException(403, STALE)
        return form


def see_other(path: str) -> Response:
    """Send the browser to another page, after a form."""
    return RedirectResponse(path, status_code=303)


def sign_in_first(destination: str) -> Response:
    """Send the browser to sign in, and from there to where it wanted."""
    return see_other(f"/sign-in?next={quote(destination, safe='')}")


def own_path(value: str | None) -> str:
    """Return a path of this site from what a browser sent, the front page for anything else."""
    if not value or not value.startswith("/") or value.startswith("//") or "\\" in value or any(c < " " for c in value):
        return "/"
    parts = urlsplit(value)
    return "/" if parts.scheme or parts.netloc else value
