"""
The whole shop as one context manager: local Stripe, issuer, database, service, worker and magazine.

The launcher, the tour and the tests all use it, so what a person tries is what is tested. Everything lives in a
fresh folder and talks over loopback; nothing of the caller's own Newsstand settings is let in.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.identity_provider.app import CONSOLE, CONSOLE_SECRET
from demo.issue_calendar import calendar
from demo.processes import PACE, Processes, StackFailed

__all__ = ["Ports", "Stack", "StackFailed", "cancel_on_signals"]

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
# Public by design: they open nothing but processes on this machine.
STRIPE_KEY = "sk_test_sandbox_public"
SIGNING_SECRET = "whsec_sandbox_public_do_not_use_live"
DATABASE_STOP_LIMIT = 15.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where each site listens."""

    service: int = 8000
    magazine: int = 8080
    issuer: int = 9000
    sandbox: int = 4242

    @classmethod
    def free(cls) -> "Ports":
        """Return four ports that nobody listens on."""
        with _holding(0, 0, 0, 0) as (service, magazine, issuer, sandbox):
            return cls(service=service, magazine=magazine, issuer=issuer, sandbox=sandbox)

    def or_free(self, say: Callable[[str], None]) -> "Ports":
        """Return these ports, with a free one in place of each that is taken; says so."""
        wanted = {name: getattr(self, name) for name in self.__slots__}
        taken = {name for name, port in wanted.items() if not _is_free(port)}
        instead = self.free()
        for name in sorted(taken):
            say(f"Port {wanted[name]} is taken, so the {name} listens on {getattr(instead, name)}.")
        return Ports(**{name: getattr(instead, name) if name in taken else port for name, port in wanted.items()})


class Stack:
    """
    Everything, from start to stop.

    :param keep_data: leave the folder with logs and database behind.
    :param say: told what takes more than a second.
    """

    def __init__(self, ports: Ports, *, keep_data: bool = False, say: Callable[[str], None] = print) -> None:
        self._keep_data, self._say = keep_data, say
        self.service = f"http://{HOST}:{ports.service}"
        self.magazine = f"http://{HOST}:{ports.magazine}"
        self.console = f"{self.service}/console"
        self.issuer = f"http://{HOST}:{ports.issuer}"
        self.sandbox = f"http://{HOST}:{ports.sandbox}"
        self._ports = ports
        self.folder = Path(tempfile.mkdtemp(prefix="newsstand-demo-"))
        self.folder.chmod(0o711)  # a database server that was started by root runs as somebody else
        self.processes = Processes(logs=self.folder, cwd=ROOT, environment=self._environment(), say=say)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def start(self) -> None:
        """
        Start all; what was started is stopped again if anything fails.

        :raises StackFailed: which says what it was.
        """
        try:
            await self._start()
        except BaseException:
            self.stop()
            raise

    async def _start(self) -> None:
        """Start all in two waves, each at once: what depends on nothing, and what needs the database's tables."""
        start, ports = self.processes, self._ports
        await _together(
            start.serve("local Stripe", [
                "-m", "sandbox", "--host", HOST, "--port", str(ports.sandbox),
                "--forward-to", f"{self.service}/webhooks/stripe", "--signing-secret", SIGNING_SECRET,
            ], f"{self.sandbox}/_sandbox/health"),
            start.serve("issuer", [
                "-m", "demo.identity_provider", "--host", HOST, "--port", str(ports.issuer),
                "--redirect-uri", f"{self.magazine}/signed-in",
            ], f"{self.issuer}/.well-known/openid-configuration"),
            start.run("migrate", ["-m", "app", "migrate"]),
        )  # fmt: skip
        await _together(
            start.serve(
                "service", ["-m", "app", "serve", "--host", HOST, "--port", str(ports.service), "--no-worker"],
                f"{self.service}/readyz",
            ),
            start.serve("worker", ["-m", "app", "worker"], None),
            start.run("catalogue push", ["-m", "app", "catalogue", "push"]),
            self._plan_issues(),
            self._start_magazine(),
        )  # fmt: skip
        self.processes.check()

    async def _plan_issues(self) -> None:
        """Put the magazine's calendar where the service counts by it."""
        file = self.folder / "issues.csv"
        file.write_text(calendar(datetime.now(UTC).date()))
        await self.processes.run("issues import", ["-m", "app", "issues", "import", str(file)])

    async def _start_magazine(self) -> None:
        """Start the site with a key of its own for its one question to the service."""
        key = await self.processes.run("keys create", ["-m", "app", "keys", "create", "--scope", "entitlements:read"])
        command = ["-m", "demo.magazine", "--host", HOST, "--port", str(self._ports.magazine)]
        await self.processes.serve("magazine", command, f"{self.magazine}/healthz", MAGAZINE_API_KEY=key.strip())

    def stop(self) -> None:
        """Stop all, last started first, and take the folder away."""
        self.processes.stop()
        self._database_stopped()
        if not self._keep_data:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _database_stopped(self) -> None:
        """Wait for the embedded database, which stops by itself after the last process that used it."""
        until = time.monotonic() + DATABASE_STOP_LIMIT
        while any(self.folder.rglob("postmaster.pid")) and time.monotonic() < until:
            time.sleep(PACE)

    def _environment(self) -> dict[str, str]:
        """Return the environment of every process: ours, without any setting of another Newsstand."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("NEWSSTAND_", "MAGAZINE_"))
        }
        return inherited | {
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": f"{HOST},localhost",
            "NEWSSTAND_DATA_DIR": str(self.folder),
            "NEWSSTAND_STRIPE_URL": self.sandbox,
            "NEWSSTAND_STRIPE_API_KEY": STRIPE_KEY,
            "NEWSSTAND_WEBHOOK_SECRETS": SIGNING_SECRET,
            "NEWSSTAND_OIDC_ISSUER": self.issuer,
            "NEWSSTAND_OIDC_AUDIENCE": "newsstand",
            "NEWSSTAND_GATE_COOKIE": "slow_ferry_token",
            "NEWSSTAND_OIDC_CLIENT_ID": CONSOLE,
            "NEWSSTAND_OIDC_CLIENT_SECRET": CONSOLE_SECRET,
            "NEWSSTAND_SESSION_KEY": secrets.token_urlsafe(32),
            "NEWSSTAND_ALLOWED_RETURN_HOSTS": f"{HOST}:{self._ports.magazine},localhost:{self._ports.magazine}",
            "MAGAZINE_URL": self.magazine,
            "MAGAZINE_NEWSSTAND_URL": self.service,
            "MAGAZINE_ISSUER": self.issuer,
            "MAGAZINE_CLIENT_ID": "magazine",
            "MAGAZINE_SESSION_KEY": secrets.token_urlsafe(32),
        }


def cancel_on_signals(say: Callable[[str], None] = print) -> asyncio.Event:
    """
    Cancel the current task on the first SIGINT or SIGTERM; a second must not interrupt the stopping.

    :returns: set once that happened.
    """
    task, asked = asyncio.current_task(), asyncio.Event()

    def stop() -> None:
        if not asked.is_set() and task is not None:
            asked.set()
            say("\nStopping ...")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return asked


async def _together(*steps: Coroutine[object, object, object]) -> None:
    """
    Take steps at the same time; the first failure ends the others.

    :raises StackFailed: the first one.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except* StackFailed as failures:
        raise failures.exceptions[0] from None


def _is_free(port: int) -> bool:
    try:
        with _holding(port):
            return True
    except OSError:
        return False


@contextmanager
def _holding(*ports: int) -> Iterator[list[int]]:
    """Hold ports for a moment, so that several free ones differ."""
    held = [socket.socket() for _ in ports]
    try:
        for holder, port in zip(held, ports, strict=True):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((HOST, port))
        yield [holder.getsockname()[1] for holder in held]
    finally:
        for holder in held:
            holder.close()
