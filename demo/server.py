"""Running one of the demo's sites: take a port, say when it is ready, stop when asked."""

import socket
import sys

import uvicorn
from starlette.types import ASGIApp


def bind(host: str, port: int) -> socket.socket:
    """
    Listen on a port; 0 picks a free one.

    The socket is bound before the application is built, because an issuer must know its own address to sign it
    into tokens, and a site must know it to be redirected back to.
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


def address(listener: socket.socket) -> str:
    """Return the origin a listening socket is reached at, as `http://host:port`."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Announcing(uvicorn.Server):
    """A server that prints one line on standard output once it accepts connections."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            print(self._announcement, flush=True)


def serve(app: ASGIApp, listener: socket.socket, *, announcement: str, log_level: str = "warning") -> None:
    """Serve an application until SIGINT or SIGTERM, giving open requests two seconds to end."""
    config = uvicorn.Config(app, log_level=log_level, timeout_graceful_shutdown=2)
    try:
        _Announcing(config, announcement).run(sockets=[listener])
    except KeyboardInterrupt:  # the server has already stopped in good order and passes the signal on
        pass
    finally:
        listener.close()
