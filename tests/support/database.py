"""A real PostgreSQL for tests: one server for all workers, one migrated template, one clone for each test."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from app.db.engine import embedded, schema

# No data outlives the tests, so none has to reach the disk.
OPTIONS = (
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
    *("-c", "max_wal_size=256MB"),  # the folder may be in memory
)

# Ends connections as a restart of the server does, but for one database. A query that runs at that moment gets one of
# several errors. The rarest occurs one time in five, so tests repeat this often.
END_THE_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
OFTEN = 60

HOMES = "newsstand-tests-"
IN_MEMORY, MEMORY_NEEDED = Path("/dev/shm"), 2 * 1024**3  # bytes
ELSEWHERE = "NEWSSTAND_TEST_DATABASE_URL"  # another server's maintenance database: see tests/oldest_postgres.py


def home_of(run: Path) -> Path:
    """
    Return the folder of the server of one test run.

    The folder is beside pytest's own directory, because pytest makes that one private to its user at every start, and a
    server started by root runs as another user. It is in memory if there is room: each test's database is 300 files, and
    creating and removing them on a disk took a third of the suite's time. Folders of former runs are removed.
    """
    mine = base_folder() / f"{HOMES}{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"
    with contextlib.suppress(BlockingIOError), _starting(mine.parent, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for home in mine.parent.glob(f"{HOMES}*"):
            if home != mine and not _is_used(home):
                shutil.rmtree(embedded.socket_dir((home / "postgres").resolve()), ignore_errors=True)
                shutil.rmtree(home, ignore_errors=True)
    mine.mkdir(exist_ok=True)
    return mine


@contextlib.contextmanager
def _starting(base: Path, lock: int) -> Iterator[None]:
    """Lock out the removal of folders while a server starts: its folder exists before anybody holds it."""
    with (base / f"newsstand-starting-{os.getuid()}.lock").open("a") as starting:
        fcntl.flock(starting, lock)
        yield


def base_folder() -> Path:
    """Return the folder for servers: in memory if the system offers enough, else the one for temporary files."""
    if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= MEMORY_NEEDED:
        return IN_MEMORY
    return Path(tempfile.gettempdir())


def _is_used(home: Path) -> bool:
    """Return whether a server or a test still uses the folder."""
    with contextlib.suppress(FileNotFoundError), (home / "postgres" / "holders.lock").open("r+") as holders:
        try:
            fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    return True  # another process is just creating it


class Postgres:
    """The server and its template database."""

    def __init__(self, home: Path, *, options: Sequence[str] = OPTIONS) -> None:
        self._home = home
        with _starting(home.parent, fcntl.LOCK_SH):
            self.maintenance_dsn = os.environ.get(ELSEWHERE) or embedded.ensure(home, options=options, say=False)
        self.template = f"template_{_fingerprint()}"

    def prepare(self) -> None:
        """Create the template, unless another worker has. It gets its final name when it is complete."""
        with (self._home / "template.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        if await self._exists(self.template):
            return
        draft = f"draft_{secrets.token_hex(4)}"
        await schema.migrate(await schema.create_database(self.maintenance_dsn, draft))
        await self._run(f'ALTER DATABASE "{draft}" RENAME TO "{self.template}"')

    async def create(self, *, empty: bool = False) -> str:
        """Return the URL of a new database, either migrated or empty."""
        name = f"test_{secrets.token_hex(6)}"
        # In memory, copying files takes two thirds of the time of copying through the write-ahead log.
        copied = "" if empty else f' TEMPLATE "{self.template}" STRATEGY FILE_COPY'
        await self._run(f'CREATE DATABASE "{name}"{copied}')
        return urlunsplit(urlsplit(self.maintenance_dsn)._replace(path=f"/{name}"))

    async def drop(self, dsn: str) -> None:
        """Drop a database, even if clients are still connected."""
        name = urlsplit(dsn).path.removeprefix("/")
        await self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def kill(self) -> None:
        """Kill a process of the server with SIGKILL. The server restarts by itself; during a restart this does nothing."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            (first, *_) = (self._home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
            os.kill(int(first), signal.SIGKILL)

    async def _exists(self, name: str) -> bool:
        connection = await asyncpg.connect(self.maintenance_dsn)
        try:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name))
        finally:
            await connection.close()

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.maintenance_dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _fingerprint() -> str:
    """Return a hash of the migrations."""
    files = sorted((schema.ROOT / "migrations").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
