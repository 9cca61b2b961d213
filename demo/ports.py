"""The ports of the demo's servers. What is chosen here stays free until its server starts."""

import fcntl
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_claimed: dict[int, int] = {}  # the ports that this process chose, with the open lock of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The port of each server."""

    service: int = 8000
    magazine: int = 8080
    identity_provider: int = 9000
    sandbox: int = 4242
    mailbox: int = 8025
    mail_server: int = 2525

    @classmethod
    def free(cls) -> "Ports":
        """Return free ports, which no other demo chooses while this process runs."""
        return cls(**{name: _claim_any_port() for name in cls.__slots__})

    def or_available(self, report: Callable[[str], None]) -> "Ports":
        """Return these ports, replacing and reporting each one that is in use."""
        wanted = {name: getattr(self, name) for name in self.__slots__}
        in_use = {name for name, port in wanted.items() if not _claim(port)}
        free = self.free() if in_use else self
        for name in sorted(in_use):
            report(
                f"Port {wanted[name]} is in use: the {name.replace('_', ' ')} uses port {getattr(free, name)} instead."
            )
        return Ports(**{name: getattr(free, name) if name in in_use else port for name, port in wanted.items()})


def _claim_any_port() -> int:
    while not _claim(port := free_port()):
        pass
    return port


def free_port() -> int:
    """
    Return a free port that is given to nothing else on this machine while this process runs.

    Its server may start much later. Until then the port is bound here, without listening: the kernel chooses such a port
    neither for a connection nor for a socket that takes any port, and on Linux a server binds it beside this socket if both
    set SO_REUSEADDR, as servers do.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, 0))
    port: int = bound.getsockname()[1]
    if sys.platform == "linux":
        bound.detach()  # it stays open until this process ends
    else:
        bound.close()
    return port


def _claim(port: int) -> bool:
    """
    Return whether a port is free, and keep other demos of this user from choosing it until this process ends.

    A port that is chosen now is only bound when its server starts, so another demo would still find it free. The lock on a
    file ends with the process, however it ends.
    """
    if port in _claimed:
        return _can_bind(port)
    folder = Path(tempfile.gettempdir()) / f"newsstand-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _claimed[port] = lock
    return _can_bind(port)


def _can_bind(port: int) -> bool:
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, port))
        except OSError:
            return False
    return True
