"""Run one of the demo's sites: bind a port, announce when it is ready, and stop on a signal."""

import socket
import sys

import uvicorn
from starlette.types import ASGIApp


def bind(host: str, port: int) -> socket.socket:
    """
    Bind a port; 0 picks a free one.

    The socket is bound before the application is built because the application needs its own address: the identity
    provider puts it into tokens, and the magazine into redirect URIs.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        sys.exit(f"Cannot listen on {host}:{port}: {error.strerror}")
    return listener


def origin(listener: socket.socket) -> str:
    """Return the origin of a listening socket, as `http://host:port`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _AnnouncingServer(uvicorn.Server):
    """A server that prints one line on standard output once it accepts connections."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(self._announcement, flush=True)


def serve(app: ASGIApp, listener: socket.socket, *, announcement: str, log_level: str = "warning") -> None:
    """Serve an application until SIGINT or SIGTERM. Open requests get two seconds to finish."""
    # Idle connections are kept for longer than clients do, so that none uses a closed one.
    config = uvicorn.Config(app, log_level=log_level, timeout_keep_alive=75, timeout_graceful_shutdown=2)
    try:
        _AnnouncingServer(config, announcement).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again after a clean shutdown
        pass
    finally:
        listener.close()
