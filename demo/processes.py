"""Start and stop child processes: none outlives the launcher, and an error shows the end of the process's log."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2

START_TIMEOUT = 120.0  # seconds for a process to become ready, on a machine that starts several demos
STOP_TIMEOUT = 10.0  # seconds between SIGTERM and SIGKILL
REPORT_AFTER = 1.0  # seconds after which a slow step is reported
POLL_INTERVAL = 0.05  # seconds, while a process starts
WATCH_INTERVAL = 0.3  # seconds, while everything runs
LOG_LINES = 25  # lines of a log in an error message


class StackFailed(Exception):
    """A process failed to start or exited unexpectedly. The message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class _Started:
    name: str
    process: subprocess.Popen[bytes]
    is_server: bool  # a server runs until it is stopped; a command exits by itself


class Processes:
    """
    The child processes of the demo, in the order they were started.

    Each runs in its own session, so that Ctrl-C in a terminal reaches only the launcher, which stops them in reverse
    order. On Linux the kernel stops them even if the launcher is killed. Each process logs to its own file.
    """

    def __init__(
        self,
        *,
        logs: Path,
        cwd: Path,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        stop_timeout: float = STOP_TIMEOUT,
    ) -> None:
        self._logs, self._cwd, self._environment, self._report = logs, cwd, dict(environment), report
        self._stop_timeout = stop_timeout
        self._all: list[_Started] = []

    async def serve(self, name: str, command: Sequence[str], ready: str | None, **environment: str) -> None:
        """
        Start a server and wait until it is ready.

        :param ready: a URL that returns 200 once the server is ready; None for a process without a URL.
        :raises StackFailed: if the process exits, or is not ready in time.
        """
        process = self._start(name, command, environment, is_server=True)
        if ready is None:
            return
        async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as client:

            async def is_ready() -> bool:
                if process.poll() is not None:
                    raise self._failed(name, f"did not start (exit {process.returncode})")
                try:
                    return (await client.get(ready)).status_code == 200
                except httpx2.HTTPError:
                    return False

            await self._wait(name, is_ready)

    async def run(self, name: str, command: Sequence[str], **environment: str) -> str:
        """
        Run a command and return its output.

        :raises StackFailed: if its exit status is not 0.
        """
        process = self._start(name, command, environment, is_server=False)

        async def has_exited() -> bool:
            return process.poll() is not None

        await self._wait(name, has_exited)
        if process.returncode != 0:
            raise self._failed(name, f"failed (exit {process.returncode})")
        return self._file(name, "out").read_text()

    def check(self) -> None:
        """
        Check that all servers are running.

        :raises StackFailed: if one has exited.
        """
        for started in self._all:
            if started.is_server and started.process.poll() is not None:
                raise self._failed(started.name, f"exited unexpectedly (exit {started.process.returncode})")

    async def watch(self) -> None:
        """
        Wait until a server exits.

        :raises StackFailed: with the name of that server.
        """
        while True:
            self.check()
            await asyncio.sleep(WATCH_INTERVAL)

    def stop(self) -> None:
        """Stop all processes in reverse order: SIGTERM first, then SIGKILL. Blocks, so nothing can interrupt it."""
        for started in reversed(self._all):
            started.process.terminate()  # no effect on a process that has exited
            try:
                started.process.wait(self._stop_timeout)
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()

    def tail(self, name: str, lines: int = LOG_LINES) -> str:
        """Return the last lines of a process's log."""
        text = self._file(name, "log").read_text(errors="replace")
        return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])

    def pids(self) -> dict[str, int]:
        """Return the process ID of each server."""
        return {started.name: started.process.pid for started in self._all if started.is_server}

    def _start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, is_server: bool
    ) -> subprocess.Popen[bytes]:
        with self._file(name, "log").open("ab") as log, self._file(name, "out").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self._cwd,
                env=self._environment | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log if is_server else output,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(_exit_with_parent, os.getpid()),  # safe: no threads, and only two system calls
            )
        self._all.append(_Started(name, process, is_server))
        return process

    async def _wait(self, name: str, is_done: Callable[[], Awaitable[bool]]) -> None:
        started_at, reported = time.monotonic(), False
        while not await is_done():
            waited = time.monotonic() - started_at
            if waited > START_TIMEOUT:
                raise self._failed(name, f"was not ready within {START_TIMEOUT:.0f} seconds")
            if waited > REPORT_AFTER and not reported:
                reported = True
                self._report(f"  Waiting for: {name}")
            await asyncio.sleep(POLL_INTERVAL)

    def _failed(self, name: str, what: str) -> StackFailed:
        return StackFailed(f"{name} {what}. Last lines of its log:\n{self.tail(name) or '  | (empty)'}")

    def _file(self, name: str, kind: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.{kind}"


def _exit_with_parent(parent: int) -> None:
    """Ask the kernel to stop this process when its parent exits (on Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # the parent exited before the call
            os._exit(1)
