"""Render a page for unexpected errors."""

from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


async def answer_errors(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, page: Callable[[Request], Response]
) -> None:
    """
    Run an application, and log and answer its unexpected errors.

    :param page: returns the error page.
    """
    response_started = False

    async def send_and_note(message: Message) -> None:
        nonlocal response_started
        response_started = True
        await send(message)

    try:
        await app(scope, receive, send_and_note)
    except Exception as error:
        if response_started or scope["type"] != "http":
            raise
        log.error("unexpected_error", error=type(error).__name__, exc_info=error)
        await page(Request(scope))(scope, receive, send)
