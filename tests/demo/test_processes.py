"""What the launcher starts, it stops; and where something does not start, it says what and why."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.processes import Processes, StackFailed
from demo.stack import HOST, ROOT, Ports

SLEEPER = ["-c", "import time; time.sleep(60)"]
STUBBORN = ["-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); time.sleep(60)"]


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(logs=tmp_path, cwd=ROOT, environment={"PYTHONUNBUFFERED": "1"}, say=print, patience=0.5)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (one that has ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_does_not_start_is_named_with_the_end_of_its_log(processes: Processes) -> None:
    broken = ["-c", "import sys; print('no such table', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(StackFailed, match=r"(?s)the worker did not start \(exit 3\).*no such table"):
        await processes.serve("the worker", broken, f"http://{HOST}:{Ports.free().service}/")


async def test_a_command_that_fails_is_named_and_one_that_does_not_returns_what_it_printed(
    processes: Processes,
) -> None:
    assert await processes.run("good", ["-c", "print('nsk_key')"]) == "nsk_key\n"
    with pytest.raises(StackFailed, match=r"(?s)bad failed \(exit 1\).*ZeroDivisionError"):
        await processes.run("bad", ["-c", "1 / 0"])


async def test_one_that_ends_later_is_noticed(processes: Processes) -> None:
    await processes.serve("short", ["-c", "print('bye')"], None)
    with pytest.raises(StackFailed, match=r"(?s)short ended by itself \(exit 0\).*bye"):
        await processes.watch()


async def test_stopping_ends_all_of_them_also_one_that_does_not_listen(processes: Processes, tmp_path: Path) -> None:
    await processes.serve("sleeper", SLEEPER, None)
    await processes.serve("stubborn", STUBBORN, None)
    while not processes.tail("stubborn"):
        await asyncio.sleep(0.02)
    pids = processes.pids().values()
    assert all(is_alive(pid) for pid in pids)
    processes.stop()
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_they_end_even_with_a_launcher_that_was_killed(tmp_path: Path) -> None:
    launcher = f"""
import asyncio, pathlib, time
from demo.processes import Processes
started = Processes(logs=pathlib.Path({str(tmp_path)!r}), cwd=pathlib.Path("/"), environment={{}}, say=print)
asyncio.run(started.serve("sleeper", {SLEEPER!r}, None))
print(started.pids()["sleeper"], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_a_taken_port_is_replaced_and_said() -> None:
    wanted, said = Ports.free(), list[str]()
    with socket.socket() as other:
        other.bind((HOST, wanted.magazine))
        other.listen()
        found = wanted.or_free(said.append)
    assert found.magazine != wanted.magazine
    assert (found.service, found.issuer, found.sandbox) == (wanted.service, wanted.issuer, wanted.sandbox)
    assert said == [f"Port {wanted.magazine} is taken, so the magazine listens on {found.magazine}."]
