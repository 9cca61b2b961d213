"""The commands as operators run them: processes with settings of their own, and what they say."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2

ROOT = Path(__file__).parents[2]
START_LIMIT = 30.0  # seconds
PACE = 0.05  # seconds between two looks
T = TypeVar("T")


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what a process is given: ours, without anything of another Newsstand, and ``settings``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")}
    return inherited | {"PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"} | dict(settings)


def run(
    arguments: Sequence[str], settings: Mapping[str, str], *, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(settings),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Process:
    """A running program, and the file of all it says."""

    popen: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """Return what it said so far."""
        return self.log.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self.popen.poll() is None

    def terminate(self) -> float:
        """Ask it to stop, as an orchestrator does, and return the seconds it took."""
        began = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(timeout=20)
        return time.monotonic() - began

    def stopped_well(self) -> bool:
        """Tell whether it ended by our asking, and not by a fault: by itself, or by handing the signal on."""
        return self.popen.returncode in (0, -signal.SIGTERM) and "Traceback" not in self.said()

    def wait_for(self, url: str, status: int = 200) -> httpx2.Response:
        """Ask until the answer has that status, and return it."""

        def answer() -> httpx2.Response | None:
            assert self.is_alive(), self.said()
            with contextlib.suppress(httpx2.HTTPError):
                found = httpx2.get(url, trust_env=False, timeout=5)
                return found if found.status_code == status else None
            return None

        found = until(answer)
        assert found is not None, f"{url} never answered {status}:\n{self.said()}"
        return found


@contextlib.contextmanager
def running(arguments: Sequence[str], settings: Mapping[str, str], log: Path, *, cwd: Path = ROOT) -> Iterator[Process]:
    """Run Python in the background; it is gone at the end."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(settings),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()  # does nothing to one that has ended
        popen.wait()


def until(look: Callable[[], T | None], *, within: float = START_LIMIT) -> T | None:
    """Look again and again until there is something; return it, or None when it never came."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(PACE)
    return None


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])
