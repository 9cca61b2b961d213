"""
Middleware around every request: the request ID, the limit of the body, the log line and the metrics.

It is plain ASGI, because wrapping the response object would cost more than the whole middleware. The limit of
the body is here and not in ``FastAPI(max_body_size=…)``, whose 413 is plain text and is not logged.
"""

import re
import secrets
import time
from collections.abc import Sequence
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.auth import CALLER
from app.domain.errors import TooLarge

MAX_BODY = 1_000_000  # bytes
REQUEST_ID = problems.REQUEST_ID.lower().encode()
# Called on every page view or polled by machines, so they are logged only when they are slow or fail.
RARELY_LOGGED = frozenset(
    {"/v1/entitlements/check", "/v1/subscribers/{sub}/entitlements", "/v1/gate", "/healthz", "/readyz", "/metrics"}
)
SLOW = 1.0  # seconds
VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}")

REQUESTS = Counter("newsstand_http_requests", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram(
    "newsstand_http_request_seconds",
    "Time until the response was sent",
    ["route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger()


def install(app: FastAPI, *, max_body: int = MAX_BODY, direct: Sequence[Route] = ()) -> None:
    """
    Add the middleware to ``app``, outside all others.

    :param direct: plain ASGI routes without path parameters. They are called from here, because passing through the
        framework's own layers would take a quarter of their time.
    """
    app.add_middleware(RequestContext, max_body=max_body, direct=direct)


class RequestContext:
    """Gives each request an ID, turns unexpected errors into a problem document, and writes the log line."""

    def __init__(self, app: ASGIApp, *, max_body: int = MAX_BODY, direct: Sequence[Route] = ()) -> None:
        self.app, self.max_body = app, max_body
        self._direct = {(method, route.path): route for route in direct for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id, length = _read_headers(scope)
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id.encode())]
            await send(message)

        try:
            if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
                await problems.response(problems.InvalidUrl())(scope, receive, send_with_id)
            elif length > self.max_body:
                await problems.response(TooLarge())(scope, receive, send_with_id)
            else:
                await self._app_of(scope)(scope, _limited(receive, self.max_body), send_with_id)
        except BodyTooLarge:  # raised by a direct route; the framework handles it otherwise
            await problems.response(TooLarge())(scope, receive, send_with_id)
        except Exception as error:
            if status:  # part of the response was sent: the server closes the connection
                log.error("response_aborted", error=type(error).__name__, exc_info=error)
                raise
            await problems.unexpected(error)(scope, receive, send_with_id)
        finally:
            _record(scope, status, time.perf_counter() - started)

    def _app_of(self, scope: Scope) -> ASGIApp:
        route = self._direct.get((scope["method"], scope["path"]))
        if route is None:
            return self.app
        scope["route"] = route
        return route.app


class BodyTooLarge(HTTPException):
    """The request body is too large."""


def _read_headers(scope: Scope) -> tuple[str, int]:
    """Return the request ID, the caller's if it is valid, and the Content-Length."""
    request_id, length = "", 0
    for name, value in scope["headers"]:
        if name == REQUEST_ID and VALID_REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
    return request_id or f"req_{secrets.token_hex(12)}", length


def _limited(receive: Receive, max_body: int) -> Receive:
    """Limit a body while it is received, because it may have no Content-Length."""
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > max_body:
            raise BodyTooLarge(413)
        return message

    return limited


def route_of(scope: Scope) -> str:
    """Return the path template of a request, so that logs and metrics contain no IDs."""
    route = scope.get("route")
    if route is not None:
        mount: str = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))  # of a mounted application
        return mount + str(getattr(route, "path", "unmatched"))
    if "endpoint" not in scope:
        return "unmatched"
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():  # a plain Starlette route sets no template
        before, found, after = path.rpartition(f"/{value}")
        path = f"{before}/{{{name}}}{after}" if found else path
    return path


def _record(scope: Scope, status: int, seconds: float) -> None:
    route = route_of(scope)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    REQUESTS.labels(method, route, status).inc()
    SECONDS.labels(route).observe(seconds)
    if route in RARELY_LOGGED and status < 500 and seconds < SLOW:
        return
    log.info(
        "request",
        method=method,
        route=quote(route, safe="/{}._-~"),
        status=status,
        milliseconds=round(seconds * 1000, 1),
        caller=scope.get(CALLER, "anonymous"),
    )
