"""
The services of docker-compose.yml on this machine, without a container engine.

Only addresses are replaced by local ones; the database is a real PostgreSQL with the roles of the compose file.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from demo.ports import free_port
from tests.operations.composefile import filled_in, read
from tests.operations.processes import ROOT, Process, run_program, running_program
from tests.support.database_roles import Roles

FILE = read((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = filled_in(FILE["services"], {})
LOCAL = "127.0.0.1"
DATABASE = "postgresql://{}:newsstand@postgres:5432/newsstand"  # pragma: allowlist secret


class Place(Protocol):
    """Where the commands of services run."""

    def program(self, service: str, command: Sequence[str], environment: Mapping[str, str]) -> "Program": ...


@dataclass(frozen=True)
class Program:
    """A program of this machine that runs a command of a service."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Folder:
    """A folder with the files of the image: commands run as ordinary processes."""

    path: Path

    def program(self, service: str, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Return the command for our interpreter: `newsstand` is `python -m app`, as in the Dockerfile."""
        name, *rest = command
        start = {"newsstand": ["-m", "app"], "python": list[str]()}[name]
        return Program([sys.executable, *start, *rest], environment, self.path)


@dataclass
class Project:
    """The services of the compose file."""

    place: Place
    logs: Path
    roles: Roles
    stack: ExitStack
    settings: Mapping[str, str] = field(default_factory=dict)  # of .env
    api: int = field(default_factory=free_port)
    sandbox: int = field(default_factory=free_port)

    def _here(self, text: str) -> str:
        """Return a part of the file with local addresses."""
        for theirs, ours in (
            (DATABASE.format("newsstand_service"), self.roles.service),
            (DATABASE.format("newsstand_owner"), self.roles.owner),
            ("sandbox.localhost:4242", f"{LOCAL}:{self.sandbox}"),
            ("api:8000", f"{LOCAL}:{self.api}"),
            ("127.0.0.1:8000", f"{LOCAL}:{self.api}"),
            ("127.0.0.1:4242", f"{LOCAL}:{self.sandbox}"),
        ):
            text = text.replace(theirs, ours)
        return {"8000": str(self.api), "4242": str(self.sandbox), "0.0.0.0": LOCAL}.get(text, text)

    def _program(self, service: str, command: Sequence[str]) -> Program:
        own = {name: self._here(value) for name, value in SERVICES[service].get("environment", {}).items()}
        from_file = self.settings if "env_file" in SERVICES[service] else {}
        return self.place.program(service, [self._here(word) for word in command], {**from_file, **own})

    def run(self, service: str, command: Sequence[str] | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a service to its end, with its own command or another one."""
        program = self._program(service, command or SERVICES[service]["command"])
        return run_program(program.arguments, program.environment, cwd=program.folder)

    def output_of(self, service: str, command: Sequence[str] | None = None) -> str:
        """Run a service to its end, and return its output. It must succeed."""
        ended = self.run(service, command)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def start(self, service: str) -> Process:
        """Start a long-running service."""
        program = self._program(service, SERVICES[service]["command"])
        log = self.logs / f"{service}.log"
        return self.stack.enter_context(
            running_program(program.arguments, program.environment, log, cwd=program.folder)
        )

    def is_healthy(self, service: str) -> bool:
        """Run the health check of a service."""
        how, *command = SERVICES[service]["healthcheck"]["test"]
        assert how == "CMD"
        return self.run(service, command).returncode == 0
