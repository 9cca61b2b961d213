"""
Middleware around every request: the request ID, the limits, the security headers, the log line and the metrics.

It is plain ASGI, because wrapping the response object would cost more than the whole middleware. The limit of
the body is here and not in ``FastAPI(max_body_size=…)``, whose 413 is plain text and is not logged.
"""

import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.auth import CALLER
from app.api.cors import PREFLIGHT, CrossOrigin, PreflightRoute, is_preflight
from app.api.hosts import HostRules, UnknownHost
from app.api.internal_pages import is_internal
from app.api.limits import OVERLOADED, max_body
from app.domain.errors import DomainError, Overloaded, TooLarge

REQUEST_ID = problems.REQUEST_ID.lower().encode()
# Called on every page view or polled by machines, so they are logged only when they are slow or fail.
RARELY_LOGGED = frozenset(
    {
        "/v1/entitlements/check",
        "/v1/subscribers/{sub}/entitlements",
        "/v1/gate",
        "/healthz",
        "/readyz",
        "/metrics",
        PREFLIGHT,
    }
)
SLOW = 1.0  # seconds
_CREDENTIALS = frozenset({b"authorization", b"cookie"})
NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000")  # a year
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


ANY_HOST = HostRules()
NO_OTHER_ORIGIN = CrossOrigin()


def install(
    app: FastAPI,
    *,
    direct: Sequence[Route] = (),
    hosts: HostRules = ANY_HOST,
    cross_origin: CrossOrigin = NO_OTHER_ORIGIN,
) -> None:
    """
    Add the middleware to ``app``, outside all others.

    :param direct: plain ASGI routes without path parameters. They are called from here, because passing through the
        framework's own layers would take a quarter of their time.
    :param hosts: the hosts that requests may be for.
    :param cross_origin: the front ends that may call the API from a browser.
    """
    app.add_middleware(RequestContext, direct=direct, hosts=hosts, cross_origin=cross_origin)


class RequestContext:
    """Gives each request an ID, turns unexpected errors into a problem document, and writes the log line."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Sequence[Route] = (),
        hosts: HostRules = ANY_HOST,
        cross_origin: CrossOrigin = NO_OTHER_ORIGIN,
    ) -> None:
        self.app, self._hosts, self._cross_origin = app, hosts, cross_origin
        self._known: frozenset[str] | None = None
        self._direct = {(method, route.path): route for route in direct for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, app = time.perf_counter(), scope["app"]  # a mounted application puts itself there
        head = _read_headers(scope)
        scope["request_id"] = head.request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=head.request_id)
        status, has_front_ends = 0, self._cross_origin.covers(scope["path"])

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_security_headers(scope, head, list(message.get("headers", ())))
                if has_front_ends:
                    message["headers"] += self._cross_origin.headers(head.origin)
            await send(message)

        try:
            refusal = self._refusal(scope, head)
            if refusal is not None:
                await problems.response(refusal)(scope, receive, send_with_id)
            elif has_front_ends and is_preflight(scope):
                scope["route"] = PreflightRoute()
                headers = self._cross_origin.preflight_headers(head.origin)
                await send_with_id({"type": "http.response.start", "status": 204, "headers": headers})
                await send_with_id({"type": "http.response.body"})
            else:
                await self._app_of(scope)(scope, _limited(receive, max_body(scope["path"])), send_with_id)
        except BodyTooLarge:  # raised by a direct route; the framework handles it otherwise
            await problems.response(TooLarge())(scope, receive, send_with_id)
        except Exception as error:
            if status:  # part of the response was sent: the server closes the connection
                log.error("response_aborted", error=type(error).__name__, exc_info=error)
                raise
            await problems.unexpected(error)(scope, receive, send_with_id)
        finally:
            _record(scope, self._templates(app), status, time.perf_counter() - started)

    def _refusal(self, scope: Scope, head: "_Head") -> DomainError | None:
        """Return why a request is refused whatever it asks for."""
        if OVERLOADED in scope:
            return Overloaded()
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return problems.InvalidUrl()
        if not self._hosts.allow(head.host, scope["path"]) and not is_internal(scope):
            return UnknownHost()
        return TooLarge() if head.length > max_body(scope["path"]) else None

    def _templates(self, app: Starlette) -> frozenset[str]:
        """Return the path templates of the application, which are complete once it receives requests."""
        if self._known is None:
            self._known = frozenset(templates_of(app.routes))
        return self._known

    def _app_of(self, scope: Scope) -> ASGIApp:
        route = self._direct.get((scope["method"], scope["path"]))
        if route is None:
            return self.app
        scope["route"] = route
        return route.app


class BodyTooLarge(HTTPException):
    """The request body is too large."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What the middleware needs of a request's headers."""

    request_id: str  # the caller's if it is valid
    length: int  # of the body
    host: bytes
    origin: bytes
    has_credentials: bool


def _read_headers(scope: Scope) -> _Head:
    request_id, length, host, origin, has_credentials = "", 0, b"", b"", False
    for name, value in scope["headers"]:
        if name == REQUEST_ID and VALID_REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:20])
        elif name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name in _CREDENTIALS:
            has_credentials = True
    return _Head(request_id or f"req_{secrets.token_hex(12)}", length, host, origin, has_credentials)


def _with_security_headers(scope: Scope, head: _Head, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add what every response has, unless the endpoint set it. What credentials were needed for is never stored."""
    names = {name.lower() for name, _ in headers}
    headers.append((REQUEST_ID, head.request_id.encode()))
    if NOSNIFF[0] not in names:
        headers.append(NOSNIFF)
    if head.has_credentials and NO_STORE[0] not in names:
        headers.append(NO_STORE)
    if scope.get("scheme") == "https":
        headers.append(HSTS)
    return headers


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


def route_of(scope: Scope, known: Collection[str]) -> str:
    """
    Return the path template of a request, so that logs and metrics contain no IDs and nothing that a caller made up.

    A request that a mounted application refuses or doesn't know is counted under the path of the mount.

    :param known: all templates.
    """
    mount: str = scope.get("root_path", "").removeprefix(scope.get("app_root_path", ""))  # of a mounted application
    route = scope.get("route")
    if route is not None:
        path = mount + str(getattr(route, "path", ""))
    else:
        path = scope["path"] if "endpoint" in scope else ""
        for name, value in scope.get("path_params", {}).items():  # a plain Starlette route sets no template
            before, found, after = path.rpartition(f"/{value}")
            path = f"{before}/{{{name}}}{after}" if found else path
        if path not in known:
            path = mount
    return path or "unmatched"


def templates_of(routes: Iterable[BaseRoute], mount: str = "") -> Iterator[str]:
    """Yield the path templates of routes, and of those that are mounted."""
    for route in routes:
        path = mount + str(getattr(route, "path", ""))
        yield path
        yield from templates_of(getattr(route, "routes", None) or (), path)


def _record(scope: Scope, known: Collection[str], status: int, seconds: float) -> None:
    route = route_of(scope, known)
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
