"""The error pages."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from demo.magazine import messages
from demo.magazine.context import Context
from demo.magazine.newsstand_client import Problem, Unreachable

log = logging.getLogger(__name__)

PAGE_NOT_FOUND = "The page doesn’t exist or has moved."
SESSION_EXPIRED = "Your session has expired."
SERVICE_UNAVAILABLE = "We’re having trouble right now. Please try again in a minute."


class ErrorPages:
    """Renders an error as a page with a message and a way to go on, never with a stack trace."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handlers(self) -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
        """Return the handler for each type of exception."""
        return {HTTPException: self.http_error, Problem: self.rejected, Unreachable: self.unavailable}

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Handle an unknown page, or a form without a valid CSRF token."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        message = PAGE_NOT_FOUND if status == 404 else str(getattr(error, "detail", ""))
        return self._page(request, status, message)

    async def rejected(self, request: Request, error: Exception) -> Response:
        """
        Handle a request that the service rejected. After a 401, sign the reader out.

        The page links to the sign-in page instead of redirecting there: if the service rejects every token, a redirect
        would loop forever.
        """
        assert isinstance(error, Problem)
        if error.status == 401:
            self._context.sessions.sign_out(request)
            return self._page(request, 401, SESSION_EXPIRED)
        return self._page(request, error.status, messages.error(error), code=error.code)

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """Handle an outage of the service."""
        log.warning("newsstand is unavailable: %s", error)
        return self._page(request, 503, SERVICE_UNAVAILABLE)

    def _page(self, request: Request, status: int, message: str, *, code: str = "") -> Response:
        return self._context.render(
            request, "error.html", status=status, status_code=status, message=message, code=code
        )
