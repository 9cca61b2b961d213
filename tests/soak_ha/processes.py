"""Child processes that a scenario can kill, freeze and start again."""

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
STOP_SECONDS = 20.0
UNPRIVILEGED = "postgres"  # PostgreSQL refuses to run as root; Debian's package creates this user


@dataclass
class Child:
    """A process, with a log file that its restarts continue."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    user: str | None = None  # None: the user who runs the rig
    cwd: Path | None = None
    popen: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Start the process in a session of its own."""
        account = pwd.getpwnam(self.user) if self.user and os.geteuid() == 0 else None
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                env=dict(self.environment),
                start_new_session=True,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    @property
    def pid(self) -> int:
        """The process ID."""
        assert self.popen is not None
        return self.popen.pid

    def is_running(self) -> bool:
        """Return whether the process runs."""
        return self.popen is not None and self.popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.is_running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    async def stop(self) -> float:
        """Send SIGTERM, wait for the end, and return how many seconds it took. A process that doesn't end is killed."""
        began = time.monotonic()
        self.send(signal.SIGTERM)
        while self.is_running() and time.monotonic() - began < STOP_SECONDS:
            await asyncio.sleep(0.05)
        self.kill()
        return time.monotonic() - began

    def output(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to processes; those that ended are left out."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


async def wait_for_port(port: int, child: Child, *, seconds: float = 60.0) -> None:
    """Wait until a process accepts connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return
        if not child.is_running():
            break
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{child.name} did not start:\n{child.output()}")
