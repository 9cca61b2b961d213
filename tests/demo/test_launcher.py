"""`python -m demo` and `python -m demo.tour`, run as from a terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.stack import ROOT
from tests.support.timeouts import TIMEOUT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.slow,  # each test starts a whole demo of its own
]


def running_processes(folder: str) -> list[str]:
    """Return the command lines of all processes that use a data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def remaining_processes(folder: str) -> list[str]:
    """Wait for all processes to exit, and return those that did not."""
    deadline = time.monotonic() + TIMEOUT
    while (remaining := running_processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return remaining


@contextmanager
def launcher(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Start the launcher in its own process group, and stop it after the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read the output until a line contains the text, and return the rest of that line."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return line.split(text)[1].strip()
    raise AssertionError("".join(lines))


def test_ctrl_c_stops_all_processes() -> None:
    with launcher() as process:
        folder = read_until(process, "Logs are in ")
        read_until(process, "Press Ctrl-C to stop everything")
        assert len(running_processes(folder)) >= 5
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        assert process.wait(timeout=TIMEOUT) == 0
    assert remaining_processes(folder) == []
    assert not Path(folder).exists()


def test_interrupted_start_leaves_nothing_behind() -> None:
    with launcher() as process:
        folder = read_until(process, "Logs are in ")
        deadline = time.monotonic() + TIMEOUT
        while len(running_processes(folder)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=TIMEOUT) == 0
    assert remaining_processes(folder) == []
    assert not Path(folder).exists()


def test_tour_passes_all_steps() -> None:
    tour = subprocess.run(
        [sys.executable, "-m", "demo.tour"], capture_output=True, text=True, cwd=ROOT, timeout=2 * TIMEOUT, check=False
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert tour.stdout.count("✓") == 16
