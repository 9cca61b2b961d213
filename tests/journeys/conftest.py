"""Fixtures of the journeys: each test has its own shop."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.shop import Shop, open_shop


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a running service with its own account at the local Stripe, at March 1, 2026."""
    async with open_shop(database, sandbox, issuer) as opened:
        yield opened


@pytest.fixture
async def killable_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose service runs in its own process, which a test can kill."""
    async with open_shop(database, sandbox, issuer, separate_process=True) as opened:
        yield opened
