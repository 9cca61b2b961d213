"""Build the magazine's site."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
from newsstand_edge import Edge, Unavailable
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from demo.magazine.articles import load
from demo.magazine.context import Context
from demo.magazine.newsstand_client import NewsstandClient
from demo.magazine.oidc import OidcClient
from demo.magazine.pages.account import AccountPages
from demo.magazine.pages.articles import ArticlePages
from demo.magazine.pages.checkout import CheckoutPages
from demo.magazine.pages.errors import ErrorPages
from demo.magazine.pages.sign_in import SignInPages
from demo.magazine.pages.support_desk import SupportDeskPages
from demo.magazine.settings import Settings
from demo.security_headers import SecurityHeaders


def build(settings: Settings) -> Starlette:
    """Build the site."""
    http = httpx2.AsyncClient(timeout=10.0)
    context = Context(
        settings=settings,
        articles=load(),
        newsstand=NewsstandClient(http, url=settings.newsstand_url, api_key=settings.api_key),
        edge=Edge(settings.newsstand_url, api_key=settings.api_key),
        oidc=OidcClient(
            http, issuer=settings.issuer, client_id=settings.client_id, redirect_uri=f"{settings.url}/signed-in"
        ),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with suppress(Unavailable):  # until the keys arrive, the site checks each article with the service
            await asyncio.to_thread(context.edge.start)
        async with http:
            yield
        context.edge.close()

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    pages = (
        ArticlePages(context),
        CheckoutPages(context),
        AccountPages(context),
        SupportDeskPages(context),
        SignInPages(context),
    )
    return Starlette(
        lifespan=lifespan,
        routes=[
            *(route for page in pages for route in page.routes()),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static"),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(
                SessionMiddleware,
                secret_key=settings.session_key,
                session_cookie="slow_ferry",
                max_age=None,  # a session cookie: deleted when the browser closes
                same_site="lax",
                https_only=settings.url.startswith("https://"),
            ),
        ],
        exception_handlers=ErrorPages(context).handlers(),
    )
