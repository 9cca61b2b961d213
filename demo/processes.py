"""Starting and stopping other programs, so that none is ever left behind and a failure says what happened."""

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

START_LIMIT = 60.0  # seconds until a program must answer
STOP_LIMIT = 10.0  # seconds until a program that was asked to stop is killed
SLOW = 1.0  # seconds after which a step says what it is waiting for
PACE = 0.05  # seconds between two looks while something starts
WATCH_PACE = 0.3  # and while all is well
TAIL = 25  # lines of a log that are shown


class StackFailed(Exception):
    """A program did not start, or died. ``str()`` names it and ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class _Started:
    name: str
    process: subprocess.Popen[bytes]
    stays: bool  # a command that ends by itself does not


class Processes:
    """
    The programs of one run, in the order in which they were started.

    Each has a session of its own, so that Ctrl-C in a terminal reaches only who started them, who then stops them
    in order; on Linux the kernel ends them even if that one is killed. Their output goes to a file each.
    """

    def __init__(
        self,
        *,
        logs: Path,
        cwd: Path,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        patience: float = STOP_LIMIT,
    ) -> None:
        self._logs, self._cwd, self._environment, self._say = logs, cwd, dict(environment), say
        self._patience = patience
        self._all: list[_Started] = []

    async def serve(self, name: str, command: Sequence[str], ready: str | None, **environment: str) -> None:
        """
        Start a program that stays, and wait until it answers.

        :param ready: an address that answers 200 once the program can be used; None for one that has no address.
        :raises StackFailed: if it ends, or does not answer within a minute.
        """
        process = self._start(name, command, environment, stays=True)
        if ready is None:
            return
        async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as client:

            async def answers() -> bool:
                if process.poll() is not None:
                    raise self._failed(name, f"did not start (exit {process.returncode})")
                try:
                    return (await client.get(ready)).status_code == 200
                except httpx2.HTTPError:
                    return False

            await self._until(name, answers)

    async def run(self, name: str, command: Sequence[str], **environment: str) -> str:
        """
        Run a command to its end and return what it printed.

        :raises StackFailed: if it fails.
        """
        process = self._start(name, command, environment, stays=False)

        async def ended() -> bool:
            return process.poll() is not None

        await self._until(name, ended)
        if process.returncode != 0:
            raise self._failed(name, f"failed (exit {process.returncode})")
        return self._file(name, "out").read_text()

    def check(self) -> None:
        """
        Look after the programs that stay.

        :raises StackFailed: if one has ended.
        """
        for started in self._all:
            if started.stays and started.process.poll() is not None:
                raise self._failed(started.name, f"ended by itself (exit {started.process.returncode})")

    async def watch(self) -> None:
        """
        Stay until one of the programs that should stay ends.

        :raises StackFailed: which names it.
        """
        while True:
            self.check()
            await asyncio.sleep(WATCH_PACE)

    def stop(self) -> None:
        """Stop what still runs, last started first: asked politely, then killed. Blocks, so nothing interrupts it."""
        for started in reversed(self._all):
            started.process.terminate()  # does nothing to one that has ended
            try:
                started.process.wait(self._patience)
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()

    def tail(self, name: str, lines: int = TAIL) -> str:
        """Return the last lines of a program's log."""
        text = self._file(name, "log").read_text(errors="replace")
        return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])

    def pids(self) -> dict[str, int]:
        """Return the process id of each program that stays."""
        return {started.name: started.process.pid for started in self._all if started.stays}

    def _start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, stays: bool
    ) -> subprocess.Popen[bytes]:
        with self._file(name, "log").open("ab") as log, self._file(name, "out").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self._cwd,
                env=self._environment | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log if stays else output,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(_end_with, os.getpid()),  # no threads here, and it makes two system calls
            )
        self._all.append(_Started(name, process, stays))
        return process

    async def _until(self, name: str, done: Callable[[], Awaitable[bool]]) -> None:
        began, told = time.monotonic(), False
        while not await done():
            waited = time.monotonic() - began
            if waited > START_LIMIT:
                raise self._failed(name, f"was not ready within {START_LIMIT:.0f} seconds")
            if waited > SLOW and not told:
                told = True
                self._say(f"  waiting for: {name}")
            await asyncio.sleep(PACE)

    def _failed(self, name: str, what: str) -> StackFailed:
        return StackFailed(f"{name} {what}. The end of its log:\n{self.tail(name) or '  | (empty)'}")

    def _file(self, name: str, kind: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.{kind}"


def _end_with(parent: int) -> None:
    """Ask the kernel to end this process with the one that started it (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it was gone before we asked
            os._exit(1)
