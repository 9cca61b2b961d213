"""Run commands as processes with given settings, and read their output."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2

from tests.support.commands import run_command
from tests.support.timeouts import TIMEOUT

ROOT = Path(__file__).parents[2]
PACE = 0.05  # seconds between two checks
GRACE = 20.0  # seconds: ``stop_grace_period`` of docker-compose.yml, after which Docker kills a process
T = TypeVar("T")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with ``settings`` and without other settings of Newsstand."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")}
    ours = {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost", "NEWSSTAND_DRAIN_DELAY": "PT0S"}
    return inherited | ours | dict(settings)


def run(
    arguments: Sequence[str], settings: Mapping[str, str], *, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run Python and wait until it exits."""
    return run_program([sys.executable, *arguments], settings, cwd=cwd)


def run_program(
    arguments: Sequence[str | Path], settings: Mapping[str, str], *, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run a program and wait until it exits."""
    return subprocess.run(
        arguments,
        env=environment(settings),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run_newsstand(words: Sequence[str], settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of ``newsstand`` to its end."""
    return run_command(words, environment(settings))


@dataclass(frozen=True, slots=True)
class Process:
    """A running process and the file with its output."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def output(self) -> str:
        """Return the output so far."""
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Return whether the process is running."""
        return self.popen.poll() is None

    def terminate(self) -> float:
        """Send SIGTERM, and return the seconds until the process exited."""
        began = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(timeout=TIMEOUT)
        return time.monotonic() - began

    def stopped_well(self) -> bool:
        """Return whether the process exited because of SIGTERM, not because of an error, and cut off no request."""
        faults = ("Traceback", "timeout graceful shutdown exceeded")
        return self.popen.returncode in (0, -signal.SIGTERM) and not any(fault in self.output() for fault in faults)

    def wait_for(self, url: str, status: int = 200) -> httpx2.Response:
        """Repeat a request until the response has a status, and return the response."""

        def answer() -> httpx2.Response | None:
            assert self.is_alive(), self.output()
            with contextlib.suppress(httpx2.HTTPError):
                found = httpx2.get(url, trust_env=False, timeout=5)
                return found if found.status_code == status else None
            return None

        found = until(answer)
        assert found is not None, f"{url} never responded with {status}:\n{self.output()}"
        return found


@contextlib.contextmanager
def running(arguments: Sequence[str], settings: Mapping[str, str], log: Path, *, cwd: Path = ROOT) -> Iterator[Process]:
    """Run Python in the background, and stop it at the end."""
    with running_program([sys.executable, *arguments], settings, log, cwd=cwd) as process:
        yield process


@contextlib.contextmanager
def running_program(
    arguments: Sequence[str | Path], settings: Mapping[str, str], log: Path, *, cwd: Path = ROOT
) -> Iterator[Process]:
    """Run a program in the background, and stop it at the end."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            env=environment(settings),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()  # has no effect if the process has exited
        popen.wait()


def until(look: Callable[[], T | None], *, within: float = TIMEOUT) -> T | None:
    """Call a function repeatedly until it returns a value; return that, or None after the time-out."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(PACE)
    return None
