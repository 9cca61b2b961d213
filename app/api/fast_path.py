"""
The fast path: entitlement checks and the gate, answered before the request reaches the rest of the application.

The framework costs several times as much as the answer (bench: ``check_warm_vs_bare_asgi``). A well-formed request of a
known caller about an existing feature is answered here, from the cache or with one query. Every other request, such as one
with a new token, a malformed body or a denial, continues to :mod:`app.api.entitlement_checks`, so that each error is
raised in one place only.
"""

import json
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from starlette.types import Receive, Scope, Send

from app.api import entitlement_checks, gate
from app.api.asgi import JSON_TYPE, receive_again, send_response
from app.api.deps import ApiState
from app.api.entitlement_checks import EARLIER_ERROR
from app.api.middleware import NO_STORE, NOSNIFF, REQUEST_ID, REQUESTS, SECONDS, SLOW, VALID_REQUEST_ID
from app.domain.callers import LONGEST_SUB, ApiScope
from app.domain.errors import DatabaseUnavailable
from app.services.entitlements import CachedDecision

CHECK = "/v1/entitlements/check"
MAX_BODY = 4096  # bytes: a longer body is not a valid check
_parse_json = json.JSONDecoder().decode
log = structlog.get_logger()
# Handles a request and returns None, or returns the ``receive`` with which the rest of the application handles it.
FastRoute = Callable[[Scope, Receive, Send], Awaitable[Receive | None]]


def routes(api: ApiState) -> dict[str, FastRoute]:
    """Return the fast routes by path."""
    return {CHECK: _Check(api), gate.PATH: _Gate(api)}


class _Route:
    """The common part of both routes."""

    def __init__(self, api: ApiState, method: str, path: str, status: int) -> None:
        self._auth, self._entitlements, self._clock = api.authenticator, api.entitlements, api.ctx.clock
        self._method, self._path = method, path
        self._count, self._duration = REQUESTS.labels(method, path, status), SECONDS.labels(path)

    def _request_id(self, scope: Scope) -> bytes:
        """Return the caller's request ID if it is valid, otherwise a new one."""
        for name, value in scope["headers"]:
            if name == REQUEST_ID and VALID_REQUEST_ID.fullmatch(value):
                return bytes(value)
        return f"req_{secrets.token_hex(12)}".encode()

    async def _decide(self, scope: Scope, sub: str, feature: str) -> CachedDecision | None:
        """Return the decision, or None if the database is unreachable; the error is kept for the slow path."""
        now = self._clock.known_policy_time() or await self._clock.policy()
        known = self._entitlements.cached(sub)
        try:
            if known is None:
                known = await self._entitlements.fetch(sub)
            return self._entitlements.decide(known, feature, now=now)
        except DatabaseUnavailable as error:
            scope[EARLIER_ERROR] = error
            return None

    def _record(self, started: float) -> None:
        seconds = time.perf_counter() - started
        self._count.inc()
        self._duration.observe(seconds)
        if seconds >= SLOW:
            log.info("request", method=self._method, route=self._path, milliseconds=round(seconds * 1000, 1))


class _Check(_Route):
    """A server checks whether a reader may use a feature."""

    def __init__(self, api: ApiState) -> None:
        super().__init__(api, "POST", CHECK, 200)
        self._features = frozenset(api.ctx.catalogue.features)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Handle a request, or pass it on."""
        started = time.perf_counter()
        if scope["method"] != self._method or scope["query_string"]:
            return receive
        if self._auth.cached_server(scope["headers"], ApiScope.READ_ENTITLEMENTS) is None:
            return receive
        message = await receive()
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > MAX_BODY:
            return receive_again(message, receive)
        try:
            question = _parse_json(str(body, "utf-8"))  # JSON in other encodings takes the slow path
            sub, feature = question["subscriber"], question["feature"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return receive_again(message, receive)
        if (
            len(question) != 2
            or type(sub) is not str
            or not 0 < len(sub) <= LONGEST_SUB
            or not sub.isprintable()  # which excludes everything that can't be stored
            or type(feature) is not str
            or feature not in self._features
        ):
            return receive_again(message, receive)
        decision = await self._decide(scope, sub, feature)
        if decision is None:
            return receive_again(message, receive)
        response = decision.body or entitlement_checks.body_of(decision)
        headers = [
            JSON_TYPE,
            NO_STORE,
            NOSNIFF,
            (b"content-length", b"%d" % len(response)),
            (REQUEST_ID, self._request_id(scope)),
        ]
        await send_response(send, 200, headers, response)
        self._record(started)
        return None


class _Gate(_Route):
    """A proxy checks whether the reader of a request may use a feature. Denials take the slow path."""

    def __init__(self, api: ApiState) -> None:
        super().__init__(api, "GET", gate.PATH, 204)
        self._features = {b"feature=" + name.encode(): name for name in api.ctx.catalogue.features}
        self._cookie = api.ctx.settings.gate_cookie
        self._outage_allowance = api.ctx.settings.outage_allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Handle a request, or pass it on."""
        started = time.perf_counter()
        feature = self._features.get(scope["query_string"])
        if scope["method"] != self._method or feature is None:
            return receive
        reader = self._auth.cached_reader(scope["headers"], self._cookie)
        if reader is None:
            return receive
        decision = await self._decide(scope, reader.sub, feature)
        if decision is None or not decision.decision.allowed:
            return receive
        headers = [
            *gate.allowed_headers(reader.sub, decision, outage_allowance=self._outage_allowance),
            (REQUEST_ID, self._request_id(scope)),
        ]
        await send_response(send, 204, headers)
        gate.RESPONSES.labels(204, decision.decision.reason).inc()
        self._record(started)
        return None
