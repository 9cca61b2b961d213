"""
``newsstand`` commands as processes that start at once.

Importing the service takes much longer than most commands run. So one process of each test worker, the fork server, imports
it and forks itself for each command. A command is a process like any other: it can be killed, and has its own environment
and output. Tests of the start itself run ``python -m app``.
"""

import multiprocessing
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from app.__main__ import command_line
from tests.support.timeouts import TIMEOUT

# The fork server imports this module before it forks: here is what the commands need, at once or later.
command_line()
for _name in ("app.main", "app.jobs", "uvicorn", "uvloop"):
    import_module(_name)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class Command:
    """
    A running command.

    :param environment: the whole environment of the process.
    :param stdin: the file or terminal that the process reads.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], *, stdin: Path = Path(os.devnull)) -> None:
        self._words = " ".join(words)
        self._folder = tempfile.TemporaryDirectory(prefix="newsstand-command-")
        streams = (stdin, self._file("stdout"), self._file("stderr"))
        self._process = _CONTEXT.Process(target=_run, args=(list(words), dict(environment), streams), daemon=True)
        self._process.start()

    def is_running(self) -> bool:
        """Return whether the process has not exited yet."""
        return self._process.is_alive()

    def output(self) -> tuple[str, str]:
        """Return what the command wrote to standard output and to standard error."""
        return self._file("stdout").read_text(), self._file("stderr").read_text()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self._process.kill()
        self._process.join()
        self._folder.cleanup()

    def wait(self) -> "subprocess.CompletedProcess[str]":
        """Return the exit status and the output of the command when it has ended."""
        self._process.join(TIMEOUT)
        code = self._process.exitcode
        assert code is not None, f"newsstand {self._words} did not end:\n{self.output()[1]}"
        stdout, stderr = self.output()
        self._folder.cleanup()
        return subprocess.CompletedProcess(self._words, code, stdout, stderr)

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name


def run_command(
    words: Sequence[str], environment: Mapping[str, str], *, stdin: Path = Path(os.devnull)
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return Command(words, environment, stdin=stdin).wait()


@contextmanager
def terminal(typed: str) -> Iterator[Path]:
    """Provide a terminal at which somebody types."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        yield Path(os.ttyname(theirs))
    finally:
        os.close(ours)
        os.close(theirs)


def _run(words: list[str], environment: dict[str, str], streams: tuple[Path, Path, Path]) -> None:
    """Become the command: in the forked process."""
    random.seed()
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(streams):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOCTTY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has replaced it
    command_line(words)(words, prog_name="newsstand")
