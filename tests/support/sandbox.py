"""The local Stripe in its own process: one for the test session, and a new account for each key."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx2
import pytest

from tests.support.timeouts import TIMEOUT

GREETING = "Sandbox listening on "


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running local Stripe."""

    url: str

    def key(self) -> str:
        """Return the secret key of a new account."""
        return f"sk_test_{uuid4().hex}"

    def requests(self, key: str, method: str = "*", path: str = "") -> list[str]:
        """Return the requests of an account, such as ``POST /v1/prices``, without replayed ones."""
        answer = httpx2.get(f"{self.url}/_sandbox/requests", headers=_bearer(key), timeout=TIMEOUT).raise_for_status()
        return [
            f"{one['method']} {one['path']}"
            for one in answer.json()["data"]
            if method in ("*", one["method"]) and one["path"].startswith(path) and not one["replayed"]
        ]

    def fault(self, key: str, **wanted: object) -> None:
        """Add a fault to an account: see the sandbox's faults."""
        httpx2.post(
            f"{self.url}/_sandbox/faults", headers=_bearer(key), json=wanted, timeout=TIMEOUT
        ).raise_for_status()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Start `python -m sandbox` on a free port."""
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(GREETING), line
            yield Sandbox(line.removeprefix(GREETING).split()[0])
        finally:
            process.kill()  # it keeps nothing, and a graceful stop waits for deliveries
