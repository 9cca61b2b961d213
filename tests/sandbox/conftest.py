"""Fixtures: one sandbox process for each test worker, and a new account for each test."""

import secrets
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import stripe

from tests.sandbox.client import Receiver, SandboxAccount
from tests.support.timeouts import TIMEOUT

_GREETING = "Sandbox listening on "
_NO_TLS = ssl.create_default_context()
"""Shared by all clients, because creating a TLS context is slow."""


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """Run `python -m sandbox` on a free port and return its URL."""
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith(_GREETING), line
            yield line.removeprefix(_GREETING).strip()
        finally:
            process.terminate()


@pytest.fixture
async def account(sandbox_url: str) -> AsyncIterator[SandboxAccount]:
    """Return a new account. The test fails if a response or event violates the contract."""
    key = f"sk_test_{secrets.token_hex(8)}"
    http = stripe.AIOHTTPClient()
    client = stripe.StripeClient(key, base_addresses={"api": sandbox_url}, http_client=http)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(base_url=sandbox_url, headers=headers, verify=_NO_TLS, timeout=TIMEOUT) as control,
        httpx2.AsyncClient(verify=_NO_TLS, timeout=TIMEOUT) as browser,
    ):
        opened = SandboxAccount(url=sandbox_url, key=key, client=client, control=control, browser=browser)
        yield opened
        violations = [found for found in await opened.violations() if found["account"] == key]
    await http.close_async()  # type: ignore[no-untyped-call]
    assert violations == []


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return a running webhook receiver."""
    listening = Receiver()
    await listening.start()
    yield listening
    await listening.stop()
