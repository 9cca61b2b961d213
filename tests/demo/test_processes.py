"""The launcher stops every process that it started, and reports the cause of a failed start."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from demo.processes import Processes, StackFailed
from demo.stack import HOST, ROOT, Ports
from tests.support.timeouts import TIMEOUT

SLEEPER = ["-c", "import time; time.sleep(60)"]
IGNORES_SIGTERM = ["-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); time.sleep(60)"]


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(logs=tmp_path, cwd=ROOT, environment={"PYTHONUNBUFFERED": "1"}, report=print, stop_timeout=0.5)


def is_alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_failed_start_shows_the_name_and_the_end_of_the_log(processes: Processes) -> None:
    broken = ["-c", "import sys; print('no such table', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(StackFailed, match=r"(?s)the worker did not start \(exit 3\).*no such table"):
        await processes.serve("the worker", broken, f"http://{HOST}:{Ports.free().service}/")


async def test_command_returns_its_output_or_raises_an_error_with_its_log(
    processes: Processes,
) -> None:
    assert await processes.run("good", ["-c", "print('nsk_key')"]) == "nsk_key\n"
    with pytest.raises(StackFailed, match=r"(?s)bad failed \(exit 1\).*ZeroDivisionError"):
        await processes.run("bad", ["-c", "1 / 0"])


async def test_server_that_exits_later_is_detected(processes: Processes) -> None:
    await processes.serve("short", ["-c", "print('bye')"], None)
    with pytest.raises(StackFailed, match=r"(?s)short exited unexpectedly \(exit 0\).*bye"):
        await processes.watch()


async def test_stop_kills_a_process_that_ignores_sigterm(processes: Processes, tmp_path: Path) -> None:
    await processes.serve("sleeper", SLEEPER, None)
    await processes.serve("ignores SIGTERM", IGNORES_SIGTERM, None)
    while not processes.tail("ignores SIGTERM"):
        await asyncio.sleep(0.02)
    pids = processes.pids().values()
    assert all(is_alive(pid) for pid in pids)
    processes.stop()
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="processes exit with their parent on Linux only")
def test_processes_exit_when_the_launcher_is_killed(tmp_path: Path) -> None:
    launcher = f"""
import asyncio, pathlib, time
from demo.processes import Processes
processes = Processes(logs=pathlib.Path({str(tmp_path)!r}), cwd=pathlib.Path("/"), environment={{}}, report=print)
asyncio.run(processes.serve("sleeper", {SLEEPER!r}, None))
print(processes.pids()["sleeper"], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_port_in_use_is_replaced_and_reported() -> None:
    wanted, reported = Ports.free(), list[str]()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        other.bind((HOST, wanted.magazine))
        other.listen()
        found = wanted.or_available(reported.append)
    assert found.magazine != wanted.magazine
    assert (found.service, found.sandbox) == (wanted.service, wanted.sandbox)
    assert found.identity_provider == wanted.identity_provider
    assert reported == [f"Port {wanted.magazine} is in use: the magazine uses port {found.magazine} instead."]


def test_a_demo_that_starts_at_the_same_moment_chooses_other_ports() -> None:
    ours = Ports.free()  # chosen, but no server has bound them yet
    script = (
        "from dataclasses import asdict; from demo.stack import Ports;"
        f"print(*asdict(Ports(**{asdict(ours)}).or_available(lambda _: None)).values())"
    )
    other = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(map(int, other.stdout.split())).isdisjoint(asdict(ours).values())
