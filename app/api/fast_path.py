"""
The check and the gate, before anything else of the application is reached: the answers that are asked millions of times.

A framework around an answer costs several times what the answer does (bench: ``check_warm_vs_bare_asgi``). So a request
that is well formed, of a known caller, about a feature that exists, is answered here: from memory, or with one
query. Everything else (a token that was never seen, a refusal, a body that is none) is not decided here but goes the whole
way, to :mod:`app.api.entitlement_checks`, with what was read of it; so there is one place where each refusal is made.
"""

import itertools
import json
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter
from starlette.types import Message, Receive, Scope, Send

from app.api import entitlement_checks
from app.api.deps import ApiState
from app.api.entitlement_checks import GATE, LONGEST_SUB, REFUSAL
from app.api.middleware import REQUEST_ID, REQUESTS, SANE_ID, SECONDS, SLOW
from app.domain.callers import READ_ENTITLEMENTS
from app.domain.errors import DatabaseUnavailable
from app.services.entitlements import CachedDecision

CHECK, GATE_PATH = "/v1/entitlements/check", "/v1/gate"
LONGEST_BODY = 4096  # bytes: no question is longer
JSON = (b"content-type", b"application/json")
_read_json = json.JSONDecoder().decode
log = structlog.get_logger()
# Returns what the rest of the application receives from, or None once it has answered.
Lane = Callable[[Scope, Receive, Send], Awaitable[Receive | None]]


def lanes(api: ApiState) -> dict[str, Lane]:
    """Return the lane of each path that has one."""
    return {CHECK: _Check(api), GATE_PATH: _Gate(api)}


class _Lane:
    """What both have in common."""

    def __init__(self, api: ApiState, method: str, path: str, status: int) -> None:
        self._auth, self._entitlements, self._clock = api.authenticator, api.entitlements, api.ctx.clock
        self._method, self._path = method, path
        self._counted, self._timed = REQUESTS.labels(method, path, status), SECONDS.labels(path)
        self._begins, self._numbers = f"req_{secrets.token_hex(8)}", itertools.count(1)

    def _request_id(self, scope: Scope) -> bytes:
        """Return the caller's id if it is sane, or one of our own: random in its beginning, counted in its end."""
        for name, value in scope["headers"]:
            if name == REQUEST_ID and SANE_ID.fullmatch(value):
                return bytes(value)
        return f"{self._begins}{next(self._numbers):08x}".encode()

    async def _answer(self, scope: Scope, sub: str, feature: str) -> CachedDecision | None:
        """Return the answer; None: the database is away, which is told on the whole way."""
        now = self._clock.at_hand() or await self._clock.policy()
        entry = self._entitlements.cached(sub)
        try:
            if entry is None:
                entry = await self._entitlements.fetch(sub)
            answer = entry.decisions.get(feature)
            if answer is None or not entry.confirmed or not answer.is_valid(now):
                answer = self._entitlements.decide(entry, feature, now=now)
        except DatabaseUnavailable as refusal:
            scope[REFUSAL] = refusal
            return None
        return answer

    def _tell(self, started: float) -> None:
        seconds = time.perf_counter() - started
        self._counted.inc()
        self._timed.observe(seconds)
        if seconds >= SLOW:
            log.info("request", method=self._method, route=self._path, milliseconds=round(seconds * 1000, 1))


class _Check(_Lane):
    """A server asks about a reader and a feature."""

    def __init__(self, api: ApiState) -> None:
        super().__init__(api, "POST", CHECK, 200)
        self._features = frozenset(api.ctx.catalogue.features)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer, or let the request go on."""
        started = time.perf_counter()
        if scope["method"] != self._method or scope["query_string"]:
            return receive
        if self._auth.server_at_hand(scope["headers"], READ_ENTITLEMENTS) is None:
            return receive
        message = await receive()
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > LONGEST_BODY:
            return _from(message, receive)
        try:
            asked = _read_json(str(body, "utf-8"))  # what else JSON may be written in goes the whole way
            sub, feature = asked["subscriber"], asked["feature"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return _from(message, receive)
        if (
            len(asked) != 2
            or type(sub) is not str
            or not 0 < len(sub) <= LONGEST_SUB
            or not sub.isprintable()  # nothing that cannot be stored is
            or type(feature) is not str
            or feature not in self._features
        ):
            return _from(message, receive)
        answer = await self._answer(scope, sub, feature)
        if answer is None:
            return _from(message, receive)
        said = answer.body or entitlement_checks.written(answer)
        headers = [JSON, (b"content-length", b"%d" % len(said)), (REQUEST_ID, self._request_id(scope))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})
        self._tell(started)
        return None


class _Gate(_Lane):
    """A proxy asks about whoever holds the token. A no is told on the whole way."""

    def __init__(self, api: ApiState) -> None:
        super().__init__(api, "GET", GATE_PATH, 204)
        self._features = {b"feature=" + name.encode(): name for name in api.ctx.catalogue.features}
        self._cookie = api.ctx.settings.gate_cookie
        self._yes: dict[str, Counter] = {}  # by reason: to find one anew costs more than to count
        self._cached = entitlement_checks.cached_for(api.ctx.settings.outage_allowance)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer, or let the request go on."""
        started = time.perf_counter()
        feature = self._features.get(scope["query_string"])
        if scope["method"] != self._method or feature is None:
            return receive
        reader = self._auth.reader_at_hand(scope["headers"], self._cookie)
        if reader is None:
            return receive
        answer = await self._answer(scope, reader.sub, feature)
        if answer is None or not answer.decision.allowed:
            return receive
        headers = [
            *entitlement_checks.allowed_headers(reader.sub, answer, cached=self._cached),
            (REQUEST_ID, self._request_id(scope)),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        reason = answer.decision.reason
        (self._yes.get(reason) or self._yes.setdefault(reason, GATE.labels(204, reason))).inc()
        self._tell(started)
        return None


def _from(message: Message, receive: Receive) -> Receive:
    """Return what gives ``message`` first, which was read already."""
    read: list[Message] = [message]

    async def again() -> Message:
        return read.pop() if read else await receive()

    return again
