"""Replies as a bad network, or a proxy before Stripe, leaves them."""

from collections.abc import AsyncIterator, Callable

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sandbox import clock
from sandbox.faults.faults import Fault

_DRIPS = 20
_SLOWNESS = 1.0
"""Seconds that a slow reply takes unless the fault says."""


class Dropped(Response):
    """No reply at all: the connection is cut, as when a network fails."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection and wait until the server has noticed."""
        abort: Callable[[], None] = scope["sandbox.abort"]
        abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def page(fault: Fault) -> Response:
    """Return a page where JSON was expected, without any of Stripe's headers."""
    return HTMLResponse(fault.page(), fault.status, fault.headers)


def truncated(whole: Response) -> Response:
    """Return the first half of a reply, and its length as if that were all."""
    headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
    return Response(bytes(whole.body)[: len(whole.body) // 2], whole.status_code, headers)


def slow(whole: Response, fault: Fault) -> Response:
    """Return a reply whose body comes in drips."""
    body, pause = bytes(whole.body), (fault.seconds or _SLOWNESS) / _DRIPS
    size = max(1, -(-len(body) // _DRIPS))

    async def drips() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            await clock.sleep(pause)
            yield body[start : start + size]

    return StreamingResponse(drips(), whole.status_code, dict(whole.headers))
