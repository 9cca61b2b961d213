"""A shop of its own for each journey."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.shop import Shop, open_shop


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A running service beside an account of its own at the local Stripe, opening on 1 March 2026."""
    async with open_shop(database, sandbox, issuer) as opened:
        yield opened


@pytest.fixture
async def killable_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A shop whose service is a process of its own, that can be killed."""
    async with open_shop(database, sandbox, issuer, separate_process=True) as opened:
        yield opened
