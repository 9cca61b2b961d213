"""The console's application: its routes, middleware and error pages."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from app.console import (
    addresses,
    api_keys,
    approvals,
    audit,
    back_channel,
    back_issues,
    circulation,
    claims,
    comps,
    dashboard,
    disputes,
    events,
    holds,
    issues,
    keyboard,
    label_runs,
    liability,
    notifications,
    personal_data,
    price_migrations,
    print_changes,
    reader_search,
    reader_views,
    readers,
    refunds,
    sign_in,
    staff_sessions,
    subscriptions,
    templating,
    webhook_endpoints,
    work_queue,
)
from app.console.csrf import ForgedForm
from app.console.form_fields import InvalidForm
from app.console.middleware import ErrorMiddleware, SessionMiddleware
from app.console.refused_forms import status_of
from app.console.state import CONSOLE
from app.domain.callers import NotAllowed
from app.domain.errors import DomainError, Invalid
from app.pages.static_files import Static

PAGES = (
    dashboard,
    reader_search,
    work_queue,
    readers,
    addresses,
    holds,
    claims,
    back_issues,
    refunds,
    approvals,
    disputes,
    subscriptions,
    print_changes,
    comps,
    issues,
    label_runs,
    circulation,
    events,
    audit,
    reader_views,
    notifications,
    liability,
    price_migrations,
    personal_data,
    staff_sessions,
    api_keys,
    webhook_endpoints,
    sign_in,
    back_channel,
    keyboard,
)


def application() -> Starlette:
    """Return the console. The composition root sets its ``state.console``."""
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _http_error,
        DomainError: _domain_error,
        InvalidForm: _invalid_form,
        ForgedForm: _forged_form,
    }
    return Starlette(
        routes=[
            *(route for page in PAGES for route in page.ROUTES),
            Mount("/static", Static(directory=templating.FOLDER / "static"), name="static"),
        ],
        middleware=[Middleware(ErrorMiddleware), Middleware(SessionMiddleware)],
        exception_handlers=handlers,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title, detail = "Request failed", str(getattr(error, "detail", ""))
    if status == 404:
        title, detail = "Page not found", "Check the address, or search for the reader."
    elif status == 405:
        title, detail = "Method not allowed", "This address only accepts forms. Go back and submit the form again."
    return templating.error_page(request, status=status, title=title, detail=detail)


async def _domain_error(request: Request, error: Exception) -> Response:
    title, status, link = "Request failed", 409, None
    if isinstance(error, DomainError):
        title, status = "No access" if isinstance(error, NotAllowed) else error.title, status_of(error)
    if isinstance(error, Invalid) and request.method == "GET":  # a value in the address, which somebody changed
        status, link = 422, (request.url.path.removeprefix(CONSOLE), "Open the page without these values")
    page = templating.error_page(request, status=status, title=title, detail=str(error), link=link)
    if isinstance(error, DomainError) and error.retry_after is not None:
        page.headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    return page


async def _invalid_form(request: Request, error: Exception) -> Response:
    messages = " ".join(error.errors.values()) if isinstance(error, InvalidForm) else str(error)
    detail = f"{messages} Go back in your browser to correct the form."
    return templating.error_page(request, status=422, title="Check the form", detail=detail)


async def _forged_form(request: Request, error: Exception) -> Response:
    return templating.error_page(request, status=403, title="Nothing was changed", detail=str(error))
