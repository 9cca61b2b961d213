"""
``/v1/entitlements/check``, ``/v1/entitlements/check-many`` and ``/v1/gate``: may this reader open this?

Plain ASGI, since it is asked on every page view. What can be answered from memory alone is answered before this is
reached (:mod:`app.api.fast_path`), and by the same functions.

The gate is asked by proxies (forward-auth), and each of them knows few answers: nginx makes 500 of anything but 2xx, 401
and 403, and Caddy writes a placeholder where a header it was told to copy is missing. So a feature that does not exist is
403 here, with its reason, and every answer carries all three headers.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.deps import api_state
from app.api.hot import Hot, in_json, operation, whole
from app.api.models import ApiModel
from app.api.problems import MalformedBody, ValidationFailed
from app.domain.callers import READ_ENTITLEMENTS, IssuerUnavailable, NotAllowed, NotAuthenticated
from app.domain.entitlements import Decision, NotEntitled
from app.domain.errors import DatabaseUnavailable, DomainError
from app.domain.plans import UnknownFeature
from app.domain.text import is_storable
from app.services.entitlements import CachedDecision

LONGEST_SUB, LONGEST_FEATURE, AT_ONCE = 255, 100, 100
SUBSCRIBER, REASON, UNTIL = b"x-newsstand-subscriber", b"x-newsstand-reason", b"x-newsstand-until"
VARY = b"authorization, cookie"
GATE = Counter("newsstand_gate_answers", "Answers of the gate", ["status", "reason"])
REFUSAL = "refusal"  # in the ASGI scope: what was found out on the short way
Headers = list[tuple[bytes, bytes]]
log = structlog.get_logger()


class CheckIn(ApiModel):
    """May this reader use this feature? ``subscriber`` is the identity provider's ``sub``."""

    model_config = ConfigDict(extra="forbid")

    subscriber: str = Field(min_length=1, max_length=LONGEST_SUB, examples=["user-1"])
    feature: str = Field(min_length=1, max_length=LONGEST_FEATURE, examples=["archive"])


class CheckOut(ApiModel):
    """The answer, with its reason; ``until`` is when it ends, or ended."""

    allowed: bool = Field(examples=[True])
    reason: str = Field(examples=["paid_term"])
    until: str | None = Field(examples=["2027-03-01T00:00:00Z"])


class CheckManyIn(ApiModel):
    """Which of these readers may use this feature?"""

    model_config = ConfigDict(extra="forbid")

    subscribers: list[str] = Field(min_length=1, max_length=AT_ONCE, examples=[["user-1", "user-2"]])
    feature: str = Field(min_length=1, max_length=LONGEST_FEATURE, examples=["archive"])


class CheckedOut(CheckOut):
    """The answer for one of them."""

    subscriber: str = Field(examples=["user-1"])


class CheckManyOut(ApiModel):
    """An answer for each, in the order in which they were asked for; each reader once."""

    data: list[CheckedOut]


async def check(request: HTTPConnection, receive: Receive) -> bytes:
    """CachedDecision for one reader and one feature."""
    api = api_state(request)
    await api.authenticator.server(request, READ_ENTITLEMENTS)
    sub, feature = asked(await whole(receive))
    if REFUSAL in request.scope:
        raise request.scope[REFUSAL]
    return written(await api.entitlements.check(sub, feature, now=await api.ctx.clock.policy()))


async def check_many(request: HTTPConnection, receive: Receive) -> bytes:
    """CachedDecision for many readers and one feature."""
    api = api_state(request)
    await api.authenticator.server(request, READ_ENTITLEMENTS)
    body = _object(await whole(receive), {"subscribers", "feature"}, feature=LONGEST_FEATURE)
    subs: object = body.get("subscribers")
    if not isinstance(subs, list) or not 0 < len(subs) <= AT_ONCE or not all(_fits(sub, LONGEST_SUB) for sub in subs):
        message = f"must be 1 to {AT_ONCE} texts of 1 to {LONGEST_SUB} characters"
        raise ValidationFailed(
            f"body.subscribers {message}", errors=[{"field": "body.subscribers", "message": message}]
        )
    answers = await api.entitlements.check_many(subs, body["feature"], now=await api.ctx.clock.policy())
    return json.dumps({"data": [{"subscriber": sub, **_shown(answer)} for sub, answer in answers.items()]}).encode()


def asked(body: bytes) -> tuple[str, str]:
    """
    Return which reader and which feature a body asks about.

    :raises MalformedBody: it is not JSON.
    :raises ValidationFailed: it is not as described.
    """
    found = _object(body, {"subscriber", "feature"}, subscriber=LONGEST_SUB, feature=LONGEST_FEATURE)
    return found["subscriber"], found["feature"]


def _object(body: bytes, names: set[str], **texts: int) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedBody("the body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ValidationFailed("the body must be an object", errors=[{"field": "body", "message": "must be an object"}])
    unknown = [{"field": f"body.{name[:100]}", "message": "is not a field"} for name in found.keys() - names]
    _refuse(unknown + _wrong(found, **texts))
    return found


def _wrong(found: dict[str, Any], **texts: int) -> list[dict[str, str]]:
    return [
        {"field": f"body.{name}", "message": f"must be a text of 1 to {most} characters"}
        for name, most in texts.items()
        if not _fits(found.get(name), most)
    ]


def _refuse(wrong: list[dict[str, str]]) -> None:
    if wrong:
        raise ValidationFailed("; ".join(f"{w['field']} {w['message']}" for w in wrong), errors=wrong)


def _fits(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and is_storable(value)


def written(answer: CachedDecision) -> bytes:
    """Return an answer as JSON, written once for as long as it is remembered."""
    if answer.body is None:
        shown = _shown(answer.decision)
        until = f'"{shown["until"]}"' if shown["until"] else "null"
        allowed = "true" if shown["allowed"] else "false"
        answer.body = f'{{"allowed":{allowed},"reason":"{shown["reason"]}","until":{until}}}'.encode()
    return answer.body


def _shown(decision: Decision) -> dict[str, object]:
    return {"allowed": decision.allowed, "reason": decision.reason, "until": _time(decision)}


def _time(decision: Decision) -> str | None:
    return f"{decision.until.isoformat()[:19]}Z" if decision.until is not None else None


class Gate:
    """Answers a proxy with a status and headers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """CachedDecision one request."""
        request = HTTPConnection(scope)
        api = api_state(request)
        sub = ""
        try:
            feature = _feature(scope["query_string"])
            sub = (await api.authenticator.reader_at(request, api.ctx.settings.gate_cookie)).sub
            if REFUSAL in scope:
                raise scope[REFUSAL]
            answer = await api.entitlements.check(sub, feature, now=await api.ctx.clock.policy())
            decision = answer.decision
            if not decision.allowed:
                raise NotEntitled("the reader may not use this", reason=decision.reason, until=_time(decision))
        except DomainError as refusal:
            await _refused(refusal, sub, cached=cached_for(api.ctx.settings.outage_allowance))(scope, receive, send)
            return
        headers = allowed_headers(sub, answer, cached=cached_for(api.ctx.settings.outage_allowance))
        GATE.labels(204, decision.reason).inc()
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _feature(query: bytes) -> str:
    named = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "feature"]
    if len(named) != 1 or not _fits(named[0], LONGEST_FEATURE):
        raise UnknownFeature("the gate is asked about one feature: ?feature=…")
    return named[0]


def allowed_headers(sub: str, answer: CachedDecision, *, cached: bytes) -> Headers:
    """Return the headers of a yes."""
    if answer.headers is None:
        headers = _headers(sub, answer.decision.reason, _time(answer.decision))
        answer.headers = [*headers, (b"cache-control", cached), (b"vary", VARY)]
    return answer.headers


@cache
def cached_for(outage_allowance: timedelta) -> bytes:
    """
    Return how long a proxy may remember an answer: for a second, and while we are away for the outage allowance.

    A refusal is remembered like a yes, or it would not take the place of the yes before it.
    """
    return f"max-age=1, stale-if-error={int(outage_allowance.total_seconds())}".encode()


def _headers(sub: str, reason: str, until: str | None) -> Headers:
    """Return the three headers, all of them always. A ``sub`` may hold anything, so all but plain characters is escaped."""
    return [(SUBSCRIBER, quote(sub, safe="").encode()), (REASON, reason.encode()), (UNTIL, (until or "").encode())]


def _refused(refusal: DomainError, sub: str, *, cached: bytes) -> Any:
    reason, until = refusal.code, None
    if isinstance(refusal, NotEntitled):
        reason, until = str(refusal.facts["reason"]), refusal.facts["until"]
    unknown = isinstance(refusal, UnknownFeature)
    if unknown:
        log.warning("gate_asked_about_an_unknown_feature")  # a proxy's configuration is wrong: every reader is refused
    answer = problems.response(refusal, status=403 if unknown else None)
    for name, value in _headers(sub, reason, str(until) if until else None):
        answer.headers[name.decode()] = value.decode()
    known = isinstance(refusal, NotEntitled)
    answer.headers["Cache-Control"] = cached.decode() if known else "no-store"
    answer.headers["Vary"] = VARY.decode()
    GATE.labels(answer.status_code, reason).inc()
    return answer


ROUTES = [
    Route("/v1/entitlements/check", Hot(check), methods=["POST"]),
    Route("/v1/entitlements/check-many", Hot(check_many), methods=["POST"]),
    Route("/v1/gate", Gate(), methods=["GET"]),
]


def _headers_described(reason: str) -> dict[str, Any]:
    described = {
        "X-Newsstand-Subscriber": ("Who it is, percent-encoded; empty: nobody known.", "user-1"),
        "X-Newsstand-Reason": ("Why, or why not.", reason),
        "X-Newsstand-Until": ("When it ends, or ended; may be empty.", "2027-03-01T00:00:00Z"),
    }
    return {
        name: {"description": words, "schema": {"type": "string"}, "example": example}
        for name, (words, example) in described.items()
    }


def _gate_described() -> dict[str, Any]:
    described = operation(
        "May this reader open this? For proxies",
        description=(
            "Forward-auth, for nginx, Caddy and Traefik: 204 allowed, 401 nobody, 403 known but not entitled, or a feature"
            " that does not exist. The reader's token comes from `Authorization` or the cookie that NEWSSTAND_GATE_COOKIE"
            " names."
        ),
        operationId="ask_gate",
        tags=["entitlements"],
        parameters=[
            {
                "name": "feature",
                "in": "query",
                "required": True,
                "description": "What is behind the gate.",
                "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_FEATURE},
                "example": "archive",
            }
        ],
        security=[{"person": []}],
        said=None,
        means="",
        refusals=(NotAuthenticated, NotEntitled, IssuerUnavailable, DatabaseUnavailable),
    )
    described["responses"]["204"] = {"description": "Allowed", "headers": _headers_described("paid_term")}
    for status, reason in (("401", "not_authenticated"), ("403", "ended")):
        described["responses"][status]["headers"] = _headers_described(reason)
    described["responses"] = dict(sorted(described["responses"].items()))
    return described


def _check_described(summary: str, name: str, asks: type[BaseModel], said: type[BaseModel]) -> dict[str, Any]:
    refusals: Iterable[type[DomainError]] = (
        MalformedBody,
        ValidationFailed,
        NotAuthenticated,
        NotAllowed,
        UnknownFeature,
        DatabaseUnavailable,
    )
    return operation(
        summary,
        description="For servers, on every page view. A reader who never subscribed is a normal answer, and no error.",
        operationId=name,
        tags=["entitlements"],
        security=[{"server": [READ_ENTITLEMENTS]}],
        requestBody={"required": True, "content": in_json(asks)},
        said=said,
        means="The answer, with its reason",
        refusals=tuple(refusals),
    )


PATHS: dict[str, Any] = {
    "/v1/entitlements/check": {
        "post": _check_described("May this reader use this feature?", "check_entitlement", CheckIn, CheckOut)
    },
    "/v1/entitlements/check-many": {
        "post": _check_described("Which of these readers may use it?", "check_entitlements", CheckManyIn, CheckManyOut)
    },
    "/v1/gate": {"get": _gate_described()},
}
SCHEMAS: tuple[type[BaseModel], ...] = (CheckIn, CheckOut, CheckManyIn, CheckedOut, CheckManyOut)
