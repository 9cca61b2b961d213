"""Broken responses: dropped, truncated, slow, or replaced by a proxy's page."""

from collections.abc import AsyncIterator, Callable

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sandbox import clock
from sandbox.faults.faults import Fault

_CHUNKS = 20
_DEFAULT_SECONDS = 1.0
"""Default duration of a slow response in seconds."""


class DroppedConnection(Response):
    """No response: the connection is closed, as in a network failure."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection and wait until the server has noticed."""
        abort: Callable[[], None] = scope["sandbox.abort"]
        abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def html_page(fault: Fault) -> Response:
    """Return an HTML page instead of JSON, without Stripe's headers."""
    return HTMLResponse(fault.html(), fault.status, fault.headers)


class BrokenOffResponse(Response):
    """A response whose connection is closed after half of the body, at once or (stalled) after a while."""

    def __init__(self, whole: Response, *, stalled: Fault | None = None) -> None:
        super().__init__(bytes(whole.body), whole.status_code, dict(whole.headers))
        self._stalled = stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the body, and close the connection."""
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": half, "more_body": True})
        if self._stalled is not None:
            await self._stalled.hold()
        await DroppedConnection()(scope, receive, send)


def truncated(response: Response) -> Response:
    """Return the first half of a response with a matching length."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(bytes(response.body)[: len(response.body) // 2], response.status_code, headers)


def slow(response: Response, fault: Fault) -> Response:
    """Return a response whose body is sent in small chunks."""
    body, pause = bytes(response.body), (fault.seconds or _DEFAULT_SECONDS) / _CHUNKS
    size = max(1, -(-len(body) // _CHUNKS))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            await clock.sleep(pause)
            yield body[start : start + size]

    return StreamingResponse(chunks(), response.status_code, dict(response.headers))
