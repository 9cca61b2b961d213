"""The console put together, and what it says when something is wrong."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import (
    access_control,
    audit,
    comps,
    dashboard,
    events,
    readers,
    refunds,
    sign_in,
    subscriptions,
    templating,
)
from app.console.request import BadForm, console_of
from app.domain.callers import NotAllowed
from app.domain.errors import DomainError, NotFound, StripeUnavailable

STATUS: dict[type[DomainError], int] = {NotFound: 404, NotAllowed: 403, StripeUnavailable: 503}
log = structlog.get_logger()


def application() -> Starlette:
    """Return the console. Its ``state.console`` is set by whoever starts it."""
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _http,
        DomainError: _refusal,
        BadForm: _bad_form,
        access_control.NotOurForm: _not_ours,
    }
    pages = (dashboard, readers, refunds, subscriptions, comps, events, audit, sign_in)
    return Starlette(
        routes=[
            *(route for page in pages for route in page.ROUTES),
            Mount("/static", Static(directory=templating.FOLDER / "static"), name="static"),
        ],
        middleware=[Middleware(Threshold), Middleware(access_control.Guard)],
        exception_handlers=handlers,
    )


class Static(StaticFiles):
    """Our own style and script: the same for everybody, asked for anew only when they changed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one file."""

        async def may_be_kept(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"cache-control", b"no-cache")]
            await send(message)

        await super().__call__(scope, receive, may_be_kept)


class Threshold:
    """Says so where no console is configured, and has a page for what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and console_of(Request(scope)).sign_in is None:
            response = Response(
                "This Newsstand has no console: set NEWSSTAND_OIDC_CLIENT_ID and NEWSSTAND_SESSION_KEY.\n",
                404,
                media_type="text/plain",
            )
            await response(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            log.error("unexpected_error", error=type(error).__name__, exc_info=error)
            why = "This is our mistake, and it is logged. Whether anything was done shows on the reader's page."
            await _mishap(Request(scope), 500, "Something went wrong here", why)(scope, receive, send)


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        request.scope.pop("endpoint", None)  # so that no made-up address becomes a name in the metrics
        return _mishap(request, 404, "No such page", "There is nothing at this address.")
    if status == 405:
        return _mishap(request, 405, "Not like this", "This address is not one to open. Go back, and use the form.")
    return _mishap(request, status, "Not like this", str(getattr(error, "detail", "")))


async def _refusal(request: Request, error: Exception) -> Response:
    """A rule said no, in its words."""
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 409)
    titles = {404: "Not found", 403: "Not for you", 503: "Stripe does not answer", 409: "That cannot be done"}
    return _mishap(request, status, titles[status], str(error))


async def _bad_form(request: Request, error: Exception) -> Response:
    return _mishap(request, 422, "That form is not filled in", str(error))


async def _not_ours(request: Request, error: Exception) -> Response:
    return _mishap(request, 403, "Nothing was done", str(error))


def _mishap(request: Request, status: int, title: str, why: str) -> Response:
    return templating.page(request, "error.html", status=status, title=title, why=why)
