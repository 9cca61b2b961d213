"""One sandbox process for each test worker; for each test a secret key, and so an account, of its own."""

import secrets
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import stripe

from tests.sandbox.shop import Receiver, Shop

_GREETING = "Sandbox listening on "
_NO_TLS = ssl.create_default_context()
"""One context for all clients, none of which ever needs it: making one is slow."""


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """Run `python -m sandbox` on a free port and return where it listens."""
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
async def shop(sandbox_url: str) -> AsyncIterator[Shop]:
    """Return an account with a client for its API, a browser and the control API; nothing in it may break the contract."""
    key = f"sk_test_{secrets.token_hex(8)}"
    http = stripe.AIOHTTPClient()
    client = stripe.StripeClient(key, base_addresses={"api": sandbox_url}, http_client=http)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(base_url=sandbox_url, headers=headers, verify=_NO_TLS) as control,
        httpx2.AsyncClient(verify=_NO_TLS) as browser,
    ):
        opened = Shop(url=sandbox_url, key=key, client=client, control=control, browser=browser)
        yield opened
        violations = [found for found in await opened.violations() if found["account"] == key]
    await http.close_async()  # type: ignore[no-untyped-call]
    assert violations == []


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return a web server that keeps the webhooks it is sent."""
    listening = Receiver()
    await listening.start()
    yield listening
    await listening.stop()
