"""
Who may open the pages for operators: the metrics, the API reference and its document, and the details of `/readyz`.

On the port for operators (``newsstand serve --internal-port``) they are open. On the public one, the setting
``NEWSSTAND_INTERNAL_PAGES`` opens them to everybody, to people with a role, or to nobody.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from app.api import problems
from app.api.deps import api_state
from app.db.engine.session import DATABASE_FAILURES, QUERY_TIMEOUT, with_timeout
from app.domain.callers import NotAllowed, NotAuthenticated
from app.domain.errors import DomainError, NotFound
from app.services import staff_sessions

OPEN, OFF = "open", "off"
REFUSALS = (NotAuthenticated, NotAllowed, NotFound)


def is_internal(scope: Scope) -> bool:
    """Return whether a request arrived on the port for operators."""
    server, port = scope.get("server"), getattr(scope["app"].state, "internal_port", None)
    return port is not None and server is not None and bool(server[1] == port)


async def check_access(request: HTTPConnection) -> None:
    """
    Check that the caller may open the pages.

    :raises NotFound: they are off here.
    :raises NotAuthenticated: a role is required, and nobody is signed in, or they were signed out since.
    :raises NotAllowed: the caller lacks the role.
    """
    if is_internal(request.scope):
        return
    api = api_state(request)
    access = api.ctx.settings.internal_pages_access
    if access == OFF:
        raise NotFound("No endpoint has this path.")
    if access != OPEN:
        person = await api.authenticator.reader(request)
        person.require(access)
        with suppress(*DATABASE_FAILURES):  # operators need the pages most when the database is lost
            await with_timeout(QUERY_TIMEOUT, staff_sessions.require_signed_in(api.ctx, person))


Operator = Annotated[None, Depends(check_access)]


async def has_access(request: HTTPConnection) -> bool:
    """Return whether the caller may open the pages."""
    try:
        await check_access(request)
    except DomainError:
        return False
    return True


def guarded(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return a page that checks the access first."""

    async def checked(request: Request) -> Response:
        try:
            await check_access(request)
        except DomainError as error:
            return problems.response(error)
        return await page(request)

    return checked


RESPONSES: dict[int | str, dict[str, Any]] = problems.problems(*REFUSALS)
