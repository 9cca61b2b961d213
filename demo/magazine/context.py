"""What all pages of the magazine share: settings, clients, sessions and templates."""

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

from demo.forms import csrf_token, has_valid_csrf_token
from demo.magazine import formatting
from demo.magazine.articles import Article
from demo.magazine.newsstand_client import NewsstandClient
from demo.magazine.oidc import OidcClient, Reader
from demo.magazine.sessions import Sessions
from demo.magazine.settings import Settings

FORM_EXPIRED = "This form has expired. Please go back, reload the page and try again."


@dataclass(frozen=True, kw_only=True)
class Context:
    """The site's settings, articles, clients, sessions and templates."""

    settings: Settings
    articles: Sequence[Article]
    newsstand: NewsstandClient
    edge: Edge
    oidc: OidcClient
    sessions: Sessions = field(default_factory=Sessions)
    templates: Jinja2Templates = field(
        default_factory=lambda: Jinja2Templates(directory=Path(__file__).parent / "templates")
    )

    def __post_init__(self) -> None:
        self.templates.env.filters["money"] = formatting.money
        self.templates.env.filters["date"] = lambda value: formatting.date(value, self.settings.timezone)
        self.templates.env.filters["last_day"] = lambda value: formatting.last_day(value, self.settings.timezone)

    def article(self, slug: str | None) -> Article | None:
        """Return an article by its slug."""
        return next((article for article in self.articles if article.slug == slug), None)

    def reader(self, request: Request) -> Reader | None:
        """Return the signed-in reader."""
        return self.sessions.reader(request)

    def render(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        """Render a page with the variables that the base template needs."""
        context |= {
            "reader": self.reader(request),
            "csrf": csrf_token(request),
            "notice": request.session.pop("notice", None),
            "path": request.url.path,
            "hosted_account": self.settings.hosted_account_url,
        }
        return self.templates.TemplateResponse(request, template, context, status_code=status)

    async def form(self, request: Request) -> FormData:
        """
        Return the submitted form.

        :raises HTTPException: with status 403 if the CSRF token is invalid.
        """
        form = await request.form()
        if not has_valid_csrf_token(request, form):
            raise HTTPException(403, FORM_EXPIRED)
        return form


def see_other(url: str) -> Response:
    """Redirect after a form submission (303)."""
    return RedirectResponse(url, status_code=303)


def redirect_to_sign_in(destination: str, *, again: bool = False) -> Response:
    """
    Redirect to the sign-in page, which then redirects to the destination.

    :param again: whether the password is asked for in any case.
    """
    return see_other(f"/sign-in?next={quote(destination, safe='')}{'&again=1' if again else ''}")


def local_path(value: str | None) -> str:
    """Return a path of this site, or `/` for any other value. Prevents open redirects."""
    if not value or not value.startswith("/") or value.startswith("//") or "\\" in value or any(c < " " for c in value):
        return "/"
    parts = urlsplit(value)
    return "/" if parts.scheme or parts.netloc else value
