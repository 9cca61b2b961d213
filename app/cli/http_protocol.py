"""
uvicorn's HTTP protocol, with limits on what a client may send and on how slowly it may send it.

uvicorn has none of these. Its parser takes quadratic time for a header that arrives in many parts, and each request that is
only half sent keeps a connection, and as soon as its headers are complete also a task of the application. So here:

- too long headers and request lines are refused while they arrive;
- a request that doesn't arrive in time is refused, and so is a connection on which none arrives;
- the application starts when the whole request has arrived, so that slow clients take none of its capacity. A body that is
  longer than its route accepts starts it too: it refuses the request with a problem document, and counts it.

A request that arrives in one piece of at most 8 KB, as nearly all do, costs only the comparison of its length.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.limits import max_body

REFUSED = Counter("newsstand_connections_refused", "Requests refused before they had arrived", ["status"])
SLICE = 8 * 1024  # bytes that are parsed at a time while the headers of a request arrive
BODY_SLICE = 64 * 1024  # the same, while a body arrives
LINGER = 2.0  # seconds in which the rest of a refused request is read and ignored, so that the client sees the refusal
_TITLES = {
    400: ("malformed_request", "Malformed HTTP request"),
    408: ("request_timeout", "Request not received in time"),
    414: ("url_too_long", "URL too long"),
    431: ("headers_too_large", "Request headers too large"),
    503: ("overloaded", "Too many requests in progress"),
}
_IDLE, _HEAD, _BODY = range(3)  # what is being received
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a connection. Sizes are in bytes, times in seconds."""

    request_line: int = 8 * 1024
    headers: int = 32 * 1024  # in total: names, values, and four bytes for each
    number_of_headers: int = 200
    head_time: float = 10.0  # from the first byte of a request to the end of its headers
    body_time: float = 30.0  # from the end of the headers to the end of the body
    unfinished_bodies: int = 64 * 1024 * 1024  # of all connections together


class BoundedProtocol(HttpToolsProtocol):
    """An HTTP/1.1 connection with limits."""

    limits: ClassVar[Limits] = Limits()
    _unfinished_bodies: ClassVar[int] = 0  # bytes that all connections hold

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._receiving = _IDLE
        self._head_size = 0  # bytes of the head that is being received
        self._parked: tuple[RequestResponseCycle, Any] | None = None  # waits for its body
        self._held = 0  # bytes of that body that are counted
        self._timer: asyncio.TimerHandle | None = None
        self._timer_is_for = _IDLE
        self._refused_as = 0  # status; 0: not refused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection too if its first request does not come."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what the connection holds."""
        self._stop_timer()
        self._release()
        self._parked = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, as far as the limits allow."""
        if self._refused_as:
            return
        if len(data) <= SLICE:
            super().data_received(data)
            if self._receiving is not _IDLE or self.cycle is None or self.cycle.response_complete:
                self._await_rest(len(data))
            elif self._timer is not None:
                self._stop_timer()
            return
        view, start = memoryview(data), 0
        while start < len(data) and not self._refused_as and not self.transport.is_closing():
            size = BODY_SLICE if self._receiving is _BODY else SLICE
            part = view[start : start + size]
            super().data_received(part)  # type: ignore[arg-type]
            self._await_rest(len(part))
            start += size

    def on_message_begin(self) -> None:
        """Note the beginning of a request."""
        super().on_message_begin()
        self._receiving = _HEAD

    def on_headers_complete(self) -> None:
        """Refuse a request with too long a head. Others start when their body has arrived."""
        self._receiving = _BODY
        if len(self.url) > self.limits.request_line:
            self._refused_as = 414
        elif len(self.headers) > self.limits.number_of_headers or (
            self._head_size and _size(self.headers) > self.limits.headers
        ):
            self._refused_as = 431
        if self._refused_as:
            raise ValueError("the head of the request is too large")  # ends the parser's run
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Start the application: the request is complete."""
        super().on_message_complete()
        self._receiving = _IDLE
        self._head_size = 0
        if self._parked is not None and not self._parked[0].more_body:
            self._start_parked()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.more_body:
            self._parked = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _start_parked(self) -> None:
        if self._parked is not None:
            (cycle, app), self._parked = self._parked, None
            self._release()
            super()._start_asgi_task(cycle, app)

    def _await_rest(self, size: int) -> None:
        """Check what has arrived of an unfinished request, and limit the time until the rest does."""
        if self._refused_as or self.transport.is_closing():
            return
        if self._receiving is _BODY:
            self._await_body()
            return
        if self._receiving is _HEAD:
            self._head_size += size
            if len(self.url) > self.limits.request_line:
                self._refuse(414)
                return
            if self._head_size > self.limits.headers + SLICE or len(self.headers) > self.limits.number_of_headers:
                self._refuse(431)
                return
        elif self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()  # a complete request is being answered
            return
        self._limit_time(_HEAD, self.limits.head_time)

    def _await_body(self) -> None:
        self._head_size = 0
        self._limit_time(_BODY, self.limits.body_time)
        if self._parked is None:
            return
        cycle, _ = self._parked
        longest = max_body(self.scope["path"])
        if _content_length(self.headers) > longest or len(cycle.body) > longest:
            self._start_parked()
            return
        self._hold(len(cycle.body))
        if BoundedProtocol._unfinished_bodies > self.limits.unfinished_bodies:
            self._refuse(503)
            return
        self.flow.resume_reading()
        if cycle.waiting_for_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False

    def _hold(self, size: int) -> None:
        BoundedProtocol._unfinished_bodies += size - self._held
        self._held = size

    def _release(self) -> None:
        self._hold(0)

    def _limit_time(self, receiving: int, seconds: float) -> None:
        if self._timer is not None and self._timer_is_for == receiving:
            return
        self._stop_timer()
        self._timer, self._timer_is_for = self.loop.call_later(seconds, self._time_is_up), receiving

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        is_answering = self.cycle is not None and not self.cycle.response_complete and self._parked is None
        if is_answering and self._receiving is not _BODY:  # a client that sends its next request early
            self._limit_time(_HEAD, self.limits.head_time)
        elif self._receiving is _BODY and self._parked is None:
            self.transport.close()  # a request that the application refused, or answers without its body
        else:
            self._refuse(408)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser or a limit refuses. Called by uvicorn."""
        self._refuse(self._refused_as or 400)

    def _refuse(self, status: int) -> None:
        """Answer with a problem document, and close the connection once the client has read it."""
        self._refused_as = status
        self._stop_timer()
        self._release()
        self._parked = None
        REFUSED.labels(status).inc()
        self.transport.write(_refusal(status, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self._abort)

    def _abort(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


# uvicorn's options, wherever the service runs. There are no WebSockets, and the server's name is nobody's business.
OPTIONS: dict[str, Any] = {
    "http": BoundedProtocol,
    "ws": "none",
    "server_header": False,
    "log_config": None,
    "access_log": False,
}


def protocol(**limits: Any) -> type[BoundedProtocol]:
    """Return the protocol with other limits, by the names of :class:`Limits`."""
    return type("OtherProtocol", (BoundedProtocol,), {"limits": Limits(**limits)})


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _content_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length. The parser has checked it; a chunked body has none."""
    return next((int(value) for name, value in headers if name == b"content-length" and value.isdigit()), 0)


def _refusal(status: int, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    code, title = _TITLES[status]
    body = json.dumps({"type": f"/problems/{code}", "title": title, "status": status, "detail": title, "code": code})
    headers = [
        *default_headers,
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"2"))
    reason = title.encode()
    return b"".join(
        [b"HTTP/1.1 %d %s\r\n" % (status, reason), *(b"%s: %s\r\n" % one for one in headers), b"\r\n", body.encode()]
    )
