"""The service in its own process, which a test can kill."""

import asyncio
import json
import os
import signal
import subprocess
from datetime import timedelta

import httpx2
from pydantic import SecretStr

from app.settings import PREFIX, Settings
from tests.support.commands import Command
from tests.support.timeouts import TIMEOUT


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a process with these settings and none of the test run's."""
    values = {name: value for name in Settings.model_fields if (value := getattr(settings, name)) is not None}
    values.setdefault("reconcile_at", "never")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return clean | {f"{PREFIX}{name.upper()}": _written(value) for name, value in values.items()}


def _written(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(_written(part) for part in value)
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds()}S"
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


class Service:
    """``newsstand serve``, which can be killed and restarted on the same port."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._environment, self._url = environment(settings), url
        self._process: Command | None = None

    async def start(self) -> None:
        """Start the service, and wait until it is ready."""
        self._process = Command(["serve", "--port", self._url.rpartition(":")[2]], self._environment)
        async with asyncio.timeout(TIMEOUT), httpx2.AsyncClient(timeout=TIMEOUT) as http:
            while True:
                assert self._process.is_running(), self._process.output()[1]
                try:
                    if (await http.get(f"{self._url}/readyz")).status_code == 200 and self._process.is_running():
                        return
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)

    def terminate(self) -> "subprocess.CompletedProcess[str]":
        """Send SIGTERM, and return the exit status and the output when the service has ended."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        return process.wait()

    def kill(self) -> None:
        """Kill the service with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process = None
