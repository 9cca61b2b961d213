"""`python -m demo` and `python -m demo.tour`, as somebody at a terminal runs them."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for leftovers in /proc")


def left_behind(folder: str) -> list[str]:
    """Return the command lines of all processes that were told of a data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def none_left(folder: str) -> list[str]:
    """Wait a moment for the last to go, and return those that did not."""
    until = time.monotonic() + 5
    while (left := left_behind(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Start the launcher in a group of its own; it is asked to stop where a test did not come to that."""
    with subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: "subprocess.Popen[str]", what: str) -> str:
    """Read on until the launcher has said something, and return the rest of that line."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if what in line:
            return line.split(what)[1].strip()
    raise AssertionError("".join(lines))


def test_ctrl_c_stops_everything_it_started() -> None:
    with started() as process:
        folder = read_until(process, "Logs are in ")
        read_until(process, "Ctrl-C stops everything")
        assert len(left_behind(folder)) >= 5
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert process.wait(timeout=60) == 0
    assert none_left(folder) == []
    assert not Path(folder).exists()


def test_a_start_that_is_interrupted_leaves_nothing_behind() -> None:
    with started() as process:
        folder = read_until(process, "Logs are in ")
        time.sleep(2.5)
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert none_left(folder) == []
    assert not Path(folder).exists()


def test_the_tour_finds_everything_as_it_should_be() -> None:
    tour = subprocess.run(
        [sys.executable, "-m", "demo.tour"], capture_output=True, text=True, cwd=ROOT, timeout=110, check=False
    )
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert tour.stdout.count("✓") == 16
