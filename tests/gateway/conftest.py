"""The gateway calls the local Stripe over HTTP, with the real SDK."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.gateway.client import Gateway
from tests.support.sandbox import Sandbox
from tests.support.timeouts import TIMEOUT


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    """Provide the key of a new account."""
    return sandbox.key()


@pytest.fixture
async def gateway(sandbox: Sandbox, key: str) -> AsyncIterator[Gateway]:
    """Provide a gateway to that account."""
    line = Gateway(url=sandbox.url, api_key=key, timeout=timedelta(seconds=TIMEOUT))
    yield line
    await line.close()
