"""The magazine put together, and what it says where something is wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from newsstand_edge import Edge, Unavailable
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from demo.forms import CarefulHeaders
from demo.magazine import messages
from demo.magazine.articles import load
from demo.magazine.context import Magazine
from demo.magazine.newsstand_client import Newsstand, Problem, Unreachable
from demo.magazine.oidc import Identity
from demo.magazine.pages.account import Account
from demo.magazine.pages.articles import Reading
from demo.magazine.pages.checkout import Joining
from demo.magazine.pages.sign_in import Signing
from demo.magazine.pages.support_desk import Desk
from demo.magazine.settings import Settings

log = logging.getLogger(__name__)

MISSING = "There is no such page. It may have been moved, or never written."
EXPIRED = "Your sign-in has run out."
AWAY = "Our subscription desk does not answer at the moment. Nothing is lost: please try again in a minute."


def build(settings: Settings) -> Starlette:
    """Build the site."""
    http = httpx2.AsyncClient(timeout=10.0)
    magazine = Magazine(
        settings=settings,
        articles=load(),
        newsstand=Newsstand(http, url=settings.newsstand_url, api_key=settings.api_key),
        edge=Edge(settings.newsstand_url, api_key=settings.api_key),
        identity=Identity(
            http, issuer=settings.issuer, client_id=settings.client_id, redirect_uri=f"{settings.url}/signed-in"
        ),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with suppress(Unavailable):  # then the service is asked for each article, until the keys are there
            await asyncio.to_thread(magazine.edge.start)
        async with http:
            yield
        magazine.edge.close()

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    pages = (Reading(magazine), Joining(magazine), Account(magazine), Desk(magazine), Signing(magazine))
    return Starlette(
        lifespan=lifespan,
        routes=[
            *(route for page in pages for route in page.routes()),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static"),
        ],
        middleware=[
            Middleware(CarefulHeaders),
            Middleware(
                SessionMiddleware,
                secret_key=settings.session_key,
                session_cookie="slow_ferry",
                max_age=None,  # until the browser closes
                same_site="lax",
                https_only=settings.url.startswith("https://"),
            ),
        ],
        exception_handlers=_Mishaps(magazine).handlers(),
    )


class _Mishaps:
    """Pages for what went wrong: what happened, in a sentence, and never a stack trace."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def handlers(self) -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
        """Return which page answers which mishap."""
        return {HTTPException: self.http, Problem: self.refused, Unreachable: self.away}

    async def http(self, request: Request, error: Exception) -> Response:
        """A page that is not there, or a form that is not ours."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        sentence = MISSING if status == 404 else str(getattr(error, "detail", ""))
        return self._page(request, status, sentence)

    async def refused(self, request: Request, error: Exception) -> Response:
        """
        The service said no, in its words. A token it no longer believes is forgotten, and signing in offered.

        Offered and not begun: a service that believes no token at all would send the browser round for ever.
        """
        assert isinstance(error, Problem)
        if error.status == 401:
            self._magazine.sessions.sign_out(request)
            return self._page(request, 401, EXPIRED)
        return self._page(request, error.status, messages.refusal(error), code=error.code)

    async def away(self, request: Request, error: Exception) -> Response:
        """The service does not answer."""
        log.warning("newsstand: %s", error)
        return self._page(request, 503, AWAY)

    def _page(self, request: Request, status: int, sentence: str, *, code: str = "") -> Response:
        return self._magazine.page(request, "error.html", status=status, what=status, sentence=sentence, code=code)
