"""What the benches stand on: a database, the service, and what it is held against; each started when it is asked for."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import asyncpg

from app.db.engine import embedded, schema
from app.db.engine.session import make_engine, make_sessions
from app.domain.callers import READ_ENTITLEMENTS
from app.domain.entitlements import ENDED, PAID_TERM, RENEWAL_PENDING
from app.domain.plans import PRINT_FEATURE
from app.services import api_keys, catalogue
from bench import books, load, tokens

ROOT = Path(__file__).parents[1]
READERS, MORE_READERS = 1_000_000, 5_000_000
WEBHOOK_SECRET = "whsec_bench_public"
SERVER_CORE, LOAD_CORE = 0, 1
START_LIMIT = 60.0  # seconds
# Holds the database for as long as its standard input is open: it ends with us, however we do.
_HOLDER = (
    "import sys, pathlib; from app.db import embedded; "
    "print(embedded.ensure(pathlib.Path(sys.argv[1]), say=False), flush=True); sys.stdin.read()"
)


class Stage:
    """Everything that runs beside a bench. What was started is shared by the benches, and taken down at the end."""

    def __init__(self, say: Callable[[str], None], *, readers: int = READERS, more: int = MORE_READERS) -> None:
        self.say, self.readers, self._more = say, readers, more
        self._stack = ExitStack()
        self._home: Path | None = None
        self._maintenance = ""
        self._database: str | None = None
        self._larger: str | None = None
        self._keys: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._migrated: dict[str, str] = {}
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database(self) -> str:
        """Return the address of the service's database: fsync on, stock settings, migrated, with readers in it."""
        if self._database is None:
            self._database = self.other_database("newsstand")
            self.say(f"Migrating, and inserting {self.readers:,} readers ...")
            asyncio.run(_fill(self._database, self.readers))
        return self._database

    def larger_database(self) -> tuple[str, int]:
        """Return the address of a database with several times as many readers, and their number."""
        if self._larger is None:
            self._larger = self.other_database("larger")
            self.say(f"Migrating, and inserting {self._more:,} readers into another one ...")
            asyncio.run(_fill(self._larger, self._more))
        return self._larger, self._more

    def other_database(self, name: str) -> str:
        """Return the address of an empty database on the server."""
        if not self._maintenance:
            self.say("Starting PostgreSQL (fsync on, stock settings) ...")
            self._maintenance = self._stack.enter_context(_postgres(self.home()))
        return asyncio.run(schema.create_database(self._maintenance, name))

    def books(self) -> str:
        """Return the address of a database with as many readers, and all that is kept of each: see :mod:`bench.books`."""
        if "books" not in self._migrated:
            dsn = self.migrated("books")
            self.say(f"Inserting {self.readers:,} readers with their terms, payments, grants and events ...")
            plan = next(iter(catalogue.load(ROOT / "catalogue.toml").plans.values()))
            asyncio.run(books.fill(dsn, self.readers, plan))
        return self._migrated["books"]

    def migrated(self, name: str) -> str:
        """Return the address of a database of the service's with nothing in it."""
        if name not in self._migrated:
            self._migrated[name] = self.other_database(name)
            asyncio.run(schema.migrate(self._migrated[name]))
        return self._migrated[name]

    def api_key(self, database: str | None = None) -> str:
        """Return a key that may ask for entitlements."""
        where = database or self.database()
        if where not in self._keys:
            self._keys[where] = asyncio.run(_make_key(where))
        return self._keys[where]

    def issuer(self) -> str:
        """Return the address of an identity provider; :mod:`bench.tokens` signs for it."""
        return f"http://{load.HOST}:{self.peer('issuer', BENCH_JWK=tokens.PUBLIC)}"

    def service(self, database: str | None = None) -> int:
        """Return the port of the service: one process, its worker apart; over another database, another one."""
        name = f"service over {database}" if database else "service"
        if name not in self._ports:
            settings = {
                "NEWSSTAND_DATABASE_URL": database or self.database(),
                "NEWSSTAND_DATA_DIR": str(self.home()),
                "NEWSSTAND_OIDC_ISSUER": self.issuer(),
                "NEWSSTAND_WEBHOOK_SECRETS": WEBHOOK_SECRET,
                "NEWSSTAND_STRIPE_URL": "http://127.0.0.1:9",  # nobody is there, and nobody is asked
                "NEWSSTAND_LOG_LEVEL": "WARNING",
            }
            self._start(name, ["app", "serve", "--no-worker"], settings)
        return self._ports[name]

    def peer(self, name: str, **environment: str) -> int:
        """Return the port of what the service is held against: an application of :mod:`bench.peers`, served alike."""
        if name not in self._ports:
            self._start(name, ["uvicorn", f"bench.peers:{name}", "--no-access-log"], environment)
        return self._ports[name]

    def sandbox(self, *options: str) -> int:
        """Return the port of the local Stripe, run with these options."""
        name = " ".join(["sandbox", *options])
        if name not in self._ports:
            self._start(name, ["sandbox", *options], {})
        return self._ports[name]

    def standin(self, bodies: dict[str, str]) -> int:
        """Return the port of a Stripe that answers at once; away from the worker, which is what is measured."""
        if "standin" not in self._ports:
            path = self.home() / "template.json"
            path.write_text(json.dumps(bodies))
            self._start("standin", ["bench.standin", "--template", str(path)], {}, core=LOAD_CORE)
        return self._ports["standin"]

    def worker(self, dsn: str, stripe_url: str) -> int:
        """Return the pid of a worker of the service on a database of its own, its limiter off: one process."""
        if self._worker is None:
            settings = {
                "NEWSSTAND_DATABASE_URL": dsn,
                "NEWSSTAND_STRIPE_URL": stripe_url,
                "NEWSSTAND_STRIPE_RATE_LIMIT": "0",
                "NEWSSTAND_BACKLOG_THRESHOLD": "1000000",  # the same fetches as those it is held against
                "NEWSSTAND_LOG_LEVEL": "WARNING",
            }
            self._worker = self._run("worker", ["app", "worker"], settings, core=SERVER_CORE)
        return self._worker.pid

    @contextmanager
    def on_the_servers_core(self) -> Iterator[None]:
        """Do something where the servers run: in the place of one."""
        with _on_core(SERVER_CORE):
            yield

    @contextmanager
    def on_the_loads_core(self) -> Iterator[None]:
        """Do something where the load runs: away from the servers."""
        with _on_core(LOAD_CORE):
            yield

    def run(self, port: int, requests: Iterable[bytes], seconds: float) -> load.Run:
        """Put a server under load, from a core of its own."""
        with _on_core(LOAD_CORE):
            return load.run(port, requests, seconds)

    def at_the_end(self, do: Callable[[], object]) -> None:
        """Have something taken down with the rest, before what was started earlier."""
        self._stack.callback(do)

    def home(self) -> Path:
        """Return a folder that is removed at the end."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="newsstand-bench-"))
            self._home.chmod(0o755)  # where we are root, the database's server is somebody else
            self._stack.callback(shutil.rmtree, self._home, ignore_errors=True)
        return self._home

    def _log(self, name: str) -> Path:
        """Return where a program's output goes; some are named by an address."""
        return self.home() / f"{''.join(c if c.isalnum() else '-' for c in name)[-80:]}.log"

    def _start(self, name: str, module: list[str], environment: dict[str, str], *, core: int = SERVER_CORE) -> None:
        with socket.socket() as free:
            free.bind((load.HOST, 0))
            port: int = free.getsockname()[1]
        server = self._run(name, [*module, "--port", str(port)], environment, core=core)
        until = time.monotonic() + START_LIMIT
        while not _listens(port):
            if server.poll() is not None or time.monotonic() > until:
                log = self._log(name)
                raise RuntimeError(f"{name} did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.05)
        self._ports[name] = port

    def _run(
        self, name: str, module: list[str], environment: dict[str, str], *, core: int
    ) -> "subprocess.Popen[bytes]":
        self.say(f"Starting {name} ...")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("NEWSSTAND_")}
        with (self._log(name)).open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=inherited | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._stack.callback(_stop, process)
        if _cores_are_ours():
            os.sched_setaffinity(process.pid, {core})
        return process


def _cores_are_ours() -> bool:
    """Tell whether both cores may be used by us; else nothing is pinned."""
    return hasattr(os, "sched_getaffinity") and {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    if not _cores_are_ours():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((load.HOST, port), timeout=1):
        return True
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _postgres(home: Path) -> Iterator[str]:
    command = [sys.executable, "-c", _HOLDER, str(home)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        address = holder.stdout.readline().strip()
        if not address:
            raise RuntimeError("the embedded PostgreSQL did not start")
        try:
            yield address
        finally:
            holder.stdin.close()
            holder.wait()
            until = time.monotonic() + START_LIMIT
            pid = home / "postgres" / "data" / "postmaster.pid"
            while pid.exists() and time.monotonic() < until:  # its supervisor stops it once nobody holds it
                time.sleep(0.05)
            shutil.rmtree(embedded.socket_dir((home / "postgres").resolve()), ignore_errors=True)


def reader(number: int) -> str:
    """Return the ``sub`` of a reader who is there."""
    return f"auth0|{number:024x}"


_SUB = "'auth0|' || lpad(to_hex(n), 24, '0')"  # as reader()


async def _fill(dsn: str, readers: int) -> None:
    """
    Insert readers in the second year of a subscription that goes on, every third with print.

    The triggers of the tables are asleep meanwhile: a notice for each reader and foreign keys are not what is measured.
    """
    await schema.migrate(dsn)
    plan = next(iter(catalogue.load(ROOT / "catalogue.toml").plans.values()))
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute(_PEOPLE, readers)
        await connection.execute(_ENTITLED, readers, list(plan.features_of(print_edition=True)))
        await connection.execute("RESET session_replication_role; RESET synchronous_commit")
        await connection.execute("VACUUM ANALYZE subscribers, entitlements")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


_PEOPLE = f"""
INSERT INTO subscribers (id, sub, email)
SELECT 'rdr_' || n, {_SUB}, 'reader-' || n || '@example.com' FROM generate_series(0, $1::bigint - 1) n
"""
_ENTITLED = f"""
INSERT INTO entitlements (sub, subscriber_id, version, access)
SELECT {_SUB}, 'rdr_' || n, 2, jsonb_build_object('otherwise', '{ENDED}', 'features', (
    SELECT jsonb_object_agg(feature, spells) FROM unnest($2::text[]) feature
    WHERE n % 3 = 0 OR feature <> '{PRINT_FEATURE}'
))
FROM generate_series(0, $1::bigint - 1) n,
LATERAL (SELECT extract(epoch FROM now())::bigint - 31536000 - 3600 * (n % 8000 + 1) AS begun) b,
LATERAL (SELECT jsonb_build_array(
    jsonb_build_array(begun, begun + 31536000, '{PAID_TERM}', 'grt_in_1R' || n),
    jsonb_build_array(begun + 31536000, begun + 63072000, '{PAID_TERM}', 'grt_in_2R' || n),
    jsonb_build_array(begun + 63072000, begun + 63331200, '{RENEWAL_PENDING}', 'grt_in_2R' || n)
) AS spells) s
"""


async def _make_key(dsn: str) -> str:
    engine = make_engine(dsn, pool_size=1)
    try:
        return await api_keys.create(make_sessions(engine), "the bench", [READ_ENTITLEMENTS])
    finally:
        await engine.dispose()
