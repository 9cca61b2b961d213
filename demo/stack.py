"""
The whole demo as one context manager: local Stripe, identity provider, database, service, worker and magazine.

The launcher, the tour and the tests all use it, so the tests cover what people try. Everything lives in a new
temporary folder and communicates over loopback. The caller's own Newsstand settings are ignored.
"""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.identity_provider.clients import (
    ACCOUNT_CLIENT_ID,
    ACCOUNT_CLIENT_SECRET,
    CONSOLE_CLIENT_ID,
    CONSOLE_CLIENT_SECRET,
)
from demo.issue_calendar import issue_calendar_csv
from demo.ports import HOST, Ports
from demo.processes import POLL_INTERVAL, Processes, StackFailed

__all__ = ["HOST", "Ports", "Stack", "StackFailed", "cancel_on_signals"]

ROOT = Path(__file__).parents[1]
# Public: they only give access to processes on this machine.
STRIPE_KEY = "sk_test_sandbox_public"
SIGNING_SECRET = "whsec_sandbox_public_do_not_use_live"
DATABASE_STOP_TIMEOUT = 15.0  # seconds


class Stack:
    """
    The demo's processes, their database and their folder.

    :param keep_data: keep the folder with the database and the logs.
    :param report: called with a message about each slow step.
    """

    def __init__(self, ports: Ports, *, keep_data: bool = False, report: Callable[[str], None] = print) -> None:
        self._keep_data = keep_data
        self.service = f"http://{HOST}:{ports.service}"
        self.magazine = f"http://{HOST}:{ports.magazine}"
        self.console = f"{self.service}/console"
        self.account = f"{self.service}/account"
        self.issuer = f"http://{HOST}:{ports.identity_provider}"
        self.sandbox = f"http://{HOST}:{ports.sandbox}"
        self.mailbox = f"http://{HOST}:{ports.mailbox}"
        self._ports = ports
        self.api_key = ""  # the magazine's, once it has started
        self.folder = Path(tempfile.mkdtemp(prefix="newsstand-demo-"))
        self.folder.chmod(0o711)  # root starts the database server as another user
        self.processes = Processes(logs=self.folder, cwd=ROOT, environment=self._environment(), report=report)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def start(self) -> None:
        """
        Start everything. If a step fails, stop everything again.

        :raises StackFailed: if a process fails to start.
        """
        try:
            await self._start()
        except BaseException:
            self.stop()
            raise

    async def _start(self) -> None:
        """Start first what needs nothing else, then what needs the database schema; each group concurrently."""
        start, ports = self.processes, self._ports
        await _run_concurrently(
            start.serve("local Stripe", [
                "-m", "sandbox", "--host", HOST, "--port", str(ports.sandbox),
                "--forward-to", f"{self.service}/webhooks/stripe", "--signing-secret", SIGNING_SECRET,
            ], f"{self.sandbox}/_sandbox/health"),
            start.serve("identity provider", [
                "-m", "demo.identity_provider", "--host", HOST, "--port", str(ports.identity_provider),
                "--redirect-uri", f"{self.magazine}/signed-in",
            ], f"{self.issuer}/.well-known/openid-configuration"),
            start.serve("mailbox", [
                "-m", "demo.mailbox", "--host", HOST, "--port", str(ports.mailbox),
                "--smtp-port", str(ports.mail_server),
            ], f"{self.mailbox}/healthz"),
            start.run("migrate", ["-m", "app", "migrate"]),
        )  # fmt: skip
        await _run_concurrently(
            start.serve(
                "service", ["-m", "app", "serve", "--host", HOST, "--port", str(ports.service), "--no-worker"],
                f"{self.service}/readyz",
            ),
            start.serve("worker", ["-m", "app", "worker"], None),
            start.run("catalogue push", ["-m", "app", "catalogue", "push", "--yes"]),
            self._import_issues(),
            self._start_magazine(),
        )  # fmt: skip
        self.processes.check()

    async def _import_issues(self) -> None:
        """Import the magazine's issue calendar into the service."""
        file = self.folder / "issues.csv"
        file.write_text(issue_calendar_csv(datetime.now(UTC).date()))
        await self.processes.run("issues import", ["-m", "app", "issues", "import", str(file)])

    async def _start_magazine(self) -> None:
        """Start the magazine with a new API key, which it needs for entitlement checks."""
        created = await self.processes.run(
            "keys create", ["-m", "app", "keys", "create", "--scope", "entitlements:read"]
        )
        self.api_key = created.strip()
        command = ["-m", "demo.magazine", "--host", HOST, "--port", str(self._ports.magazine)]
        await self.processes.serve("magazine", command, f"{self.magazine}/healthz", MAGAZINE_API_KEY=self.api_key)

    def stop(self) -> None:
        """Stop everything in reverse order, and delete the folder."""
        self.processes.stop()
        self._wait_for_database()
        if not self._keep_data:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_for_database(self) -> None:
        """Wait for the embedded database, which stops by itself when nothing uses it any more."""
        deadline = time.monotonic() + DATABASE_STOP_TIMEOUT
        while any(self.folder.rglob("postmaster.pid")) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)

    def _environment(self) -> dict[str, str]:
        """Return the environment of all processes, without the caller's own Newsstand settings."""
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
            "NEWSSTAND_DRAIN_DELAY": "PT0S",  # there is no load balancer
            "NEWSSTAND_GATE_COOKIE": "slow_ferry_token",
            "NEWSSTAND_OIDC_CLIENT_ID": CONSOLE_CLIENT_ID,
            "NEWSSTAND_OIDC_CLIENT_SECRET": CONSOLE_CLIENT_SECRET,
            "NEWSSTAND_ACCOUNT": "true",
            "NEWSSTAND_ACCOUNT_OIDC_CLIENT_ID": ACCOUNT_CLIENT_ID,
            "NEWSSTAND_ACCOUNT_OIDC_CLIENT_SECRET": ACCOUNT_CLIENT_SECRET,
            "NEWSSTAND_SITE_URL": self.magazine,
            "NEWSSTAND_ACCOUNT_URL": self.account,
            "NEWSSTAND_SMTP_URL": f"smtp://{HOST}:{self._ports.mail_server}",
            "NEWSSTAND_MAIL_FROM": "Slow Ferry <subscriptions@example.com>",
            "NEWSSTAND_SESSION_KEY": secrets.token_urlsafe(32),
            "NEWSSTAND_ALLOWED_RETURN_HOSTS": f"{HOST}:{self._ports.magazine},localhost:{self._ports.magazine}",
            "MAGAZINE_URL": self.magazine,
            "MAGAZINE_NEWSSTAND_URL": self.service,
            "MAGAZINE_HOSTED_ACCOUNT_URL": self.account,
            "MAGAZINE_ISSUER": self.issuer,
            "MAGAZINE_CLIENT_ID": "magazine",
            "MAGAZINE_SESSION_KEY": secrets.token_urlsafe(32),
        }


def cancel_on_signals(report: Callable[[str], None] = print) -> asyncio.Event:
    """
    Cancel the current task on the first SIGINT or SIGTERM. Further signals don't interrupt the shutdown.

    :returns: an event that is set when a signal arrives.
    """
    task, stop_requested = asyncio.current_task(), asyncio.Event()

    def stop() -> None:
        if not stop_requested.is_set() and task is not None:
            stop_requested.set()
            report("\nStopping ...")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stop_requested


async def _run_concurrently(*steps: Coroutine[object, object, object]) -> None:
    """
    Run steps concurrently. The first failure cancels the others.

    :raises StackFailed: the first failure.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except* StackFailed as failures:
        raise failures.exceptions[0] from None
