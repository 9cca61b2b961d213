"""The hosted account's application: its routes, middleware and error pages."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from app.account import (
    addresses,
    billing,
    brand,
    cancellations,
    checkout,
    claims,
    contract_cancellations,
    holds,
    labels,
    print_changes,
    refunds,
    sign_in,
    subscriptions,
    templating,
    withdrawals,
)
from app.account.access_control import ForgedForm, status_of, with_retry_after
from app.account.middleware import ErrorMiddleware, SessionMiddleware
from app.domain.errors import DomainError
from app.pages.static_files import Static

PAGES = (
    contract_cancellations,
    subscriptions,
    billing,
    cancellations,
    refunds,
    withdrawals,
    print_changes,
    addresses,
    holds,
    claims,
    checkout,
    sign_in,
    brand,
)
UNKNOWN = "This address isn’t part of your account."
TITLES = {404: "Not found", 429: "Too many requests", 503: "We’re having trouble right now"}


def application() -> Starlette:
    """Return the hosted account. The composition root sets its ``state.account``."""
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _http_error,
        DomainError: _domain_error,
        ForgedForm: _forged_form,
    }
    routes: list[Route] = [route for page in PAGES for route in page.ROUTES]
    return Starlette(
        routes=[*routes, Mount("/static", Static(directory=templating.FOLDER / "static"), name="static")],
        middleware=[Middleware(ErrorMiddleware), Middleware(SessionMiddleware)],
        exception_handlers=handlers,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title, detail = "Request failed", "Please go back and try again. Nothing was changed."
    if status == 404:
        title, detail = "Page not found", UNKNOWN
    elif status == 405:
        title, detail = "Method not allowed", "This address only accepts forms. Go back and submit the form again."
    page = templating.error_page(request, status=status, title=title, detail=detail)
    if isinstance(error, HTTPException) and error.headers:
        page.headers.update(error.headers)  # such as the allowed methods
    return page


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    status = status_of(error)
    title = TITLES.get(status, "That didn’t work")
    page = templating.error_page(request, status=status, title=title, detail=labels.error(error))
    return with_retry_after(page, error)


async def _forged_form(request: Request, error: Exception) -> Response:
    return templating.error_page(request, status=403, title="Nothing was changed", detail=str(error))
