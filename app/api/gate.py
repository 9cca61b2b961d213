"""
``/v1/gate``: forward authentication for proxies such as nginx, Caddy and Traefik.

The proxies understand few statuses: nginx answers 500 for anything but 2xx, 401 and 403. So an unknown feature is 403
here. Caddy writes a placeholder for a header that it should copy but that is missing, so every response has all three
headers. Most requests are answered earlier, by :mod:`app.api.fast_path`, with the same functions.
"""

from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog
from prometheus_client import Counter
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.asgi import operation, send_response
from app.api.deps import api_state
from app.api.entitlement_checks import EARLIER_ERROR, LONGEST_FEATURE, fits, format_time
from app.domain.callers import IssuerUnavailable, NotAuthenticated
from app.domain.entitlements import NotEntitled
from app.domain.errors import DatabaseUnavailable, DomainError
from app.domain.plans import UnknownFeature
from app.services.entitlements import CachedDecision

PATH = "/v1/gate"
SUBSCRIBER, REASON, UNTIL = b"x-newsstand-subscriber", b"x-newsstand-reason", b"x-newsstand-until"
VARY = b"authorization, cookie"
RESPONSES = Counter("newsstand_gate_answers", "Responses of the gate", ["status", "reason"])
Headers = list[tuple[bytes, bytes]]
log = structlog.get_logger()


class Gate:
    """Answers a proxy with a status and headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = HTTPConnection(scope)
        api = api_state(request)
        allowance = api.ctx.settings.outage_allowance
        sub = ""
        try:
            feature = _feature(scope["query_string"])
            sub = (await api.authenticator.reader(request, cookie=api.ctx.settings.gate_cookie)).sub
            if EARLIER_ERROR in scope:
                raise scope[EARLIER_ERROR]
            cached = await api.entitlements.check(sub, feature, now=await api.ctx.clock.policy())
            decision = cached.decision
            if not decision.allowed:
                until = format_time(decision.until)
                raise NotEntitled("The reader may not use this feature", reason=decision.reason, until=until)
        except DomainError as error:
            await _denied(error, sub, outage_allowance=allowance)(scope, receive, send)
            return
        RESPONSES.labels(204, decision.reason).inc()
        await send_response(send, 204, allowed_headers(sub, cached, outage_allowance=allowance))


def _feature(query: bytes) -> str:
    named = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "feature"]
    if len(named) != 1 or not fits(named[0], LONGEST_FEATURE):
        raise UnknownFeature("Name one feature: ?feature=…")
    return named[0]


def allowed_headers(sub: str, decision: CachedDecision, *, outage_allowance: timedelta) -> Headers:
    """Return the headers of a 204. They are rendered once and kept with the cached decision."""
    if decision.headers is None:
        headers = _headers(sub, decision.decision.reason, format_time(decision.decision.until))
        decision.headers = [*headers, (b"cache-control", _cache_control(outage_allowance)), (b"vary", VARY)]
    return decision.headers


@cache
def _cache_control(outage_allowance: timedelta) -> bytes:
    """
    Return how long a proxy may cache a response: for a second, and for the outage allowance while we are unreachable.

    It is the same for a denial, which would not replace an earlier 204 in the proxy's cache otherwise.
    """
    return f"max-age=1, stale-if-error={int(outage_allowance.total_seconds())}".encode()


def _headers(sub: str, reason: str, until: str | None) -> Headers:
    """Return all three headers. The ``sub`` is percent-encoded, because it may contain any character."""
    return [(SUBSCRIBER, quote(sub, safe="").encode()), (REASON, reason.encode()), (UNTIL, (until or "").encode())]


def _denied(error: DomainError, sub: str, *, outage_allowance: timedelta) -> Response:
    reason, until = error.code, None
    if isinstance(error, NotEntitled):
        reason, until = str(error.facts["reason"]), error.facts["until"]
    unknown_feature = isinstance(error, UnknownFeature)
    if unknown_feature:
        log.warning("gate_unknown_feature")  # the proxy is misconfigured, and every reader is denied
    response = problems.response(error, status=403 if unknown_feature else None)
    for name, value in _headers(sub, reason, str(until) if until else None):
        response.headers[name.decode()] = value.decode()
    cacheable = isinstance(error, NotEntitled)
    response.headers["Cache-Control"] = _cache_control(outage_allowance).decode() if cacheable else "no-store"
    response.headers["Vary"] = VARY.decode()
    RESPONSES.labels(response.status_code, reason).inc()
    return response


ROUTES = [Route(PATH, Gate(), methods=["GET"])]


def _describe_headers(reason: str) -> dict[str, Any]:
    described = {
        "X-Newsstand-Subscriber": ("The reader's `sub`, percent-encoded; empty without a valid token.", "user-1"),
        "X-Newsstand-Reason": ("The reason for the decision.", reason),
        "X-Newsstand-Until": ("When the access ends or ended; may be empty.", "2027-03-01T00:00:00Z"),
    }
    return {
        name: {"description": text, "schema": {"type": "string"}, "example": example}
        for name, (text, example) in described.items()
    }


def _describe() -> dict[str, Any]:
    described = operation(
        "Check access for a proxy",
        description=(
            "Forward authentication for nginx, Caddy and Traefik. Returns 204 if the reader may use the feature, 401"
            " without a valid token, and 403 if the reader may not use the feature or it does not exist. The reader's"
            " token is read from `Authorization` or from the cookie named by `NEWSSTAND_GATE_COOKIE`."
        ),
        operationId="ask_gate",
        tags=["entitlements"],
        parameters=[
            {
                "name": "feature",
                "in": "query",
                "required": True,
                "description": "The feature that the page needs.",
                "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_FEATURE},
                "example": "archive",
            }
        ],
        security=[{"person": []}],
        response=None,
        response_description="",
        errors=(NotAuthenticated, NotEntitled, IssuerUnavailable, DatabaseUnavailable),
    )
    described["responses"]["204"] = {"description": "Allowed", "headers": _describe_headers("paid_term")}
    for status, reason in (("401", "not_authenticated"), ("403", "ended")):
        described["responses"][status]["headers"] = _describe_headers(reason)
    described["responses"] = dict(sorted(described["responses"].items()))
    return described


PATHS: dict[str, Any] = {PATH: {"get": _describe()}}
