"""
A web server that leaves the load balancer before it stops.

A balancer notices only at its next probe that a process is stopping. So after SIGTERM the readiness probe fails while
requests are still handled, and only then the port is closed. Ctrl-C, or a second signal, stops the server at once.
"""

import signal
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import uvicorn


class Server(uvicorn.Server):
    """uvicorn's server, with a delay between SIGTERM and the end."""

    def __init__(
        self, config: uvicorn.Config, *, drain: Callable[[], None], delay: timedelta, end_long_polls: Callable[[], None]
    ) -> None:
        """
        Create a server.

        :param drain: makes the readiness probe fail.
        :param delay: how long requests are still handled.
        :param end_long_polls: answers the requests that wait for changes, once the port is about to close.
        """
        super().__init__(config)
        self._drain, self._delay, self._end_long_polls = drain, delay, end_long_polls
        self._is_draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop now, or after the delay if this is the first SIGTERM. Called by the signal handler."""
        if sig != signal.SIGTERM or self._is_draining or not self._delay:
            super().handle_exit(sig, frame)
            return
        self._is_draining = True
        self._drain()
        # A thread, because a signal handler can't use the event loop. The server looks at its flag ten times a second.
        timer = threading.Timer(self._delay.total_seconds(), super().handle_exit, (sig, None))
        timer.daemon = True
        timer.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, and wait for the requests in progress."""
        self._end_long_polls()
        await super().shutdown(sockets)
