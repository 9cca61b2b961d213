"""The environment of the benchmarks: databases, the service, the baselines and a worker, each started on first use."""

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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from app.clock import SystemClock
from app.context import DatabaseContext
from app.db.engine import embedded, schema
from app.db.engine.session import make_engine, make_sessions
from app.domain.callers import ApiScope
from app.domain.plans import Plan
from app.services import api_keys, catalogue
from app.settings import Settings
from bench import access_tokens, load_generator, seed_data

ROOT = Path(__file__).parents[1]
DEFAULT_READERS, DEFAULT_LARGE_READERS = 1_000_000, 5_000_000
WEBHOOK_SECRET = "whsec_bench_public"
SERVER_CORE, LOAD_CORE = 0, 1
START_TIMEOUT = 60.0  # seconds
# Keeps the embedded database running until its standard input closes, which happens however this process ends.
_DATABASE_HOLDER = (
    "import sys, pathlib; from app.db.engine import embedded; "
    "print(embedded.ensure(pathlib.Path(sys.argv[1]), say=False), flush=True); sys.stdin.read()"
)


class Environment:
    """The databases and processes of the benchmarks. They are shared, and stopped at the end."""

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        readers: int = DEFAULT_READERS,
        large_readers: int = DEFAULT_LARGE_READERS,
    ) -> None:
        self.report, self.readers, self._large_readers = report, readers, large_readers
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._maintenance_dsn = ""
        self._main_database: str | None = None
        self._large_database: str | None = None
        self._api_keys: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._pids: dict[int, int] = {}  # by port
        self._migrated_databases: dict[str, str] = {}
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def database(self) -> str:
        """Return the DSN of the main database: migrated and filled with readers; fsync on, default settings."""
        if self._main_database is None:
            self._main_database = self.empty_database("newsstand")
            self.report(f"Migrating the database and inserting {self.readers:,} readers ...")
            asyncio.run(_fill_entitlements(self._main_database, self.readers))
        return self._main_database

    def large_database(self) -> tuple[str, int]:
        """Return the DSN of a database with several times as many readers, and their number."""
        if self._large_database is None:
            self._large_database = self.empty_database("large")
            self.report(f"Migrating another database and inserting {self._large_readers:,} readers ...")
            asyncio.run(_fill_entitlements(self._large_database, self._large_readers))
        return self._large_database, self._large_readers

    def empty_database(self, name: str) -> str:
        """Return the DSN of a new, empty database."""
        if not self._maintenance_dsn:
            self.report("Starting PostgreSQL (fsync on, default settings) ...")
            self._maintenance_dsn = self._stack.enter_context(_embedded_postgres(self.folder()))
        return asyncio.run(schema.create_database(self._maintenance_dsn, name))

    def history_database(self) -> str:
        """Return the DSN of a database in which each reader has a year of history (see :mod:`bench.seed_data`)."""
        if "history" not in self._migrated_databases:
            dsn = self.migrated_database("history")
            self.report(f"Inserting {self.readers:,} readers with terms, payments, grants and events ...")
            plan = _plan()
            asyncio.run(seed_data.fill_history(dsn, self.readers, plan))
        return self._migrated_databases["history"]

    def migrated_database(self, name: str) -> str:
        """Return the DSN of a migrated database without data."""
        if name not in self._migrated_databases:
            self._migrated_databases[name] = self.empty_database(name)
            asyncio.run(schema.migrate(self._migrated_databases[name]))
        return self._migrated_databases[name]

    def api_key(self, database: str | None = None) -> str:
        """Return an API key with the scope to check entitlements."""
        dsn = database or self.database()
        if dsn not in self._api_keys:
            self._api_keys[dsn] = asyncio.run(_create_api_key(dsn))
        return self._api_keys[dsn]

    def issuer(self) -> str:
        """Return the URL of an identity provider. :mod:`bench.access_tokens` signs its tokens."""
        return f"http://{load_generator.HOST}:{self.baseline('identity_provider', BENCH_JWK=access_tokens.PUBLIC_JWK)}"

    def service(self, database: str | None = None) -> int:
        """Return the port of the service, a single process without a worker; one for each database."""
        name = f"service on {database}" if database else "service"
        if name not in self._ports:
            settings = {
                "NEWSSTAND_DATABASE_URL": database or self.database(),
                "NEWSSTAND_DATA_DIR": str(self.folder()),
                "NEWSSTAND_OIDC_ISSUER": self.issuer(),
                "NEWSSTAND_WEBHOOK_SECRETS": WEBHOOK_SECRET,
                "NEWSSTAND_STRIPE_URL": "http://127.0.0.1:9",  # unused
                "NEWSSTAND_LOG_LEVEL": "WARNING",
            }
            self._start(name, ["app", "serve", "--no-worker"], settings)
        return self._ports[name]

    def baseline(self, name: str, **environment: str) -> int:
        """Return the port of an application of :mod:`bench.baselines`, served like the service."""
        if name not in self._ports:
            self._start(name, ["uvicorn", f"bench.baselines:{name}", "--no-access-log"], environment)
        return self._ports[name]

    def sandbox(self, *options: str) -> int:
        """Return the port of the local Stripe with these command-line options."""
        name = " ".join(["sandbox", *options])
        if name not in self._ports:
            self._start(name, ["sandbox", *options], {})
        return self._ports[name]

    def fake_stripe(self, bodies: dict[str, str]) -> int:
        """Return the port of :mod:`bench.fake_stripe`, on the other core than the worker."""
        if "fake_stripe" not in self._ports:
            path = self.folder() / "template.json"
            path.write_text(json.dumps(bodies))
            self._start("fake_stripe", ["bench.fake_stripe", "--template", str(path)], {}, core=LOAD_CORE)
        return self._ports["fake_stripe"]

    def stripe_lists(self, templates: Mapping[str, object], *, size: int, until: int, latency: float) -> int:
        """Return the port of :mod:`bench.stripe_lists`, on the other core than the service."""
        path = self.folder() / "templates.json"
        path.write_text(json.dumps(templates))
        options = ("--size", str(size), "--until", str(until), "--latency", str(latency))
        self._start("stripe_lists", ["bench.stripe_lists", "--templates", str(path), *options], {}, core=LOAD_CORE)
        return self._ports["stripe_lists"]

    def process(
        self, name: str, module: list[str], settings: Mapping[str, str], *, port: int | None, core: int = SERVER_CORE
    ) -> int:
        """Start a process of our own choice; return its pid. With ``port``, wait until it accepts connections there."""
        process = self._run(name, module if port is None else [*module, "--port", str(port)], dict(settings), core=core)
        if port is not None:
            self._wait_until_it_listens(name, process, port)
        return process.pid

    def worker(self, dsn: str, stripe_url: str) -> int:
        """Return the pid of the worker, a single process with its own database and without a rate limit."""
        if self._worker is None:
            settings = {
                "NEWSSTAND_DATABASE_URL": dsn,
                "NEWSSTAND_STRIPE_URL": stripe_url,
                "NEWSSTAND_STRIPE_RATE_LIMIT": "0",
                "NEWSSTAND_BACKLOG_THRESHOLD": "1000000",  # fetch each subscription, as the baseline does
                "NEWSSTAND_LOG_LEVEL": "WARNING",
            }
            self._worker = self._run("worker", ["app", "worker"], settings, core=SERVER_CORE)
        return self._worker.pid

    @contextmanager
    def on_server_core(self) -> Iterator[None]:
        """Pin this process to the core of the servers, to run something in place of a server."""
        with _pinned_to(SERVER_CORE):
            yield

    @contextmanager
    def on_load_core(self) -> Iterator[None]:
        """Pin this process to the core of the load, away from the servers."""
        with _pinned_to(LOAD_CORE):
            yield

    def run(
        self, port: int, requests: Iterable[bytes], seconds: float, *, connections: int = load_generator.CONNECTIONS
    ) -> load_generator.Run:
        """Put a server under load from the other core."""
        with _pinned_to(LOAD_CORE):
            return load_generator.run(port, requests, seconds, connections=connections)

    @contextmanager
    def attackers(self, port: int, seconds: float, *, kind: str | None = None) -> Iterator[None]:
        """Attack a server for about a number of seconds, from the other core (see :mod:`bench.attackers`)."""
        command = [
            sys.executable,
            "-m",
            "bench.attackers",
            "--port",
            str(port),
            "--seconds",
            str(seconds + START_TIMEOUT),
        ]
        command += ["--kind", kind] if kind else []
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                if _can_pin():
                    os.sched_setaffinity(process.pid, {LOAD_CORE})
                if process.stdout is None or process.stdout.readline().strip() != "ready":
                    raise RuntimeError("the attackers did not start")
                yield
            finally:
                process.terminate()

    def on_exit(self, callback: Callable[[], object]) -> None:
        """Call a function at the end, before everything that was started earlier is stopped."""
        self._stack.callback(callback)

    def folder(self) -> Path:
        """Return a temporary folder, which is deleted at the end."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="newsstand-bench-"))
            self._folder.chmod(0o755)  # root starts the database server as another user
            self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def cpu_time(self, port: int) -> float:
        """Return the seconds of CPU time that the server at a port has used, where the kernel reports it."""
        fields = Path(f"/proc/{self._pids[port]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _log(self, name: str) -> Path:
        """Return the log file of a process. Some names contain a DSN, so special characters are replaced."""
        return self.folder() / f"{''.join(c if c.isalnum() else '-' for c in name)[-80:]}.log"

    def _start(self, name: str, module: list[str], environment: dict[str, str], *, core: int = SERVER_CORE) -> None:
        port = free_port()
        server = self._run(name, [*module, "--port", str(port)], environment, core=core)
        self._wait_until_it_listens(name, server, port)
        self._ports[name], self._pids[port] = port, server.pid

    def _wait_until_it_listens(self, name: str, server: "subprocess.Popen[bytes]", port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not _accepts_connections(port):
            if server.poll() is not None or time.monotonic() > deadline:
                log = self._log(name)
                raise RuntimeError(f"{name} did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.05)

    def _run(
        self, name: str, module: list[str], environment: dict[str, str], *, core: int
    ) -> "subprocess.Popen[bytes]":
        self.report(f"Starting {name} ...")
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
        if _can_pin():
            os.sched_setaffinity(process.pid, {core})
        return process


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((load_generator.HOST, 0))
        return int(probe.getsockname()[1])


def _can_pin() -> bool:
    """Return whether this process may use both cores. Otherwise nothing is pinned."""
    return hasattr(os, "sched_getaffinity") and {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


@contextmanager
def _pinned_to(core: int) -> Iterator[None]:
    if not _can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _accepts_connections(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((load_generator.HOST, port), timeout=1):
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
def _embedded_postgres(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-c", _DATABASE_HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        dsn = holder.stdout.readline().strip()
        if not dsn:
            raise RuntimeError("the embedded PostgreSQL did not start")
        try:
            yield dsn
        finally:
            holder.stdin.close()
            holder.wait()
            deadline = time.monotonic() + START_TIMEOUT
            pid = folder / "postgres" / "data" / "postmaster.pid"
            while pid.exists() and time.monotonic() < deadline:  # it stops by itself without users
                time.sleep(0.05)
            shutil.rmtree(embedded.socket_dir((folder / "postgres").resolve()), ignore_errors=True)


async def _create_api_key(dsn: str) -> str:
    engine = make_engine(dsn, pool_size=1)
    ctx = DatabaseContext(settings=Settings(), sessions=make_sessions(engine))
    try:
        made = await api_keys.create(
            ctx, "benchmark", [ApiScope.READ_ENTITLEMENTS], by="operator:bench", now=SystemClock().real()
        )
        return made.key
    finally:
        await engine.dispose()


async def _fill_entitlements(dsn: str, readers: int) -> None:
    await schema.migrate(dsn)
    await seed_data.fill_entitlements(dsn, readers, _plan())


def _plan() -> Plan:
    return next(iter(catalogue.load(ROOT / "catalogue.toml").plans.values()))
