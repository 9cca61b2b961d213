"""A shop with a mail server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.mailbox import Mailbox, mailbox
from tests.support.notices import open_mailing_shop
from tests.support.shop import Shop


@pytest.fixture
async def mail() -> AsyncIterator[Mailbox]:
    """Provide a mail server."""
    async with mailbox() as box:
        yield box


@pytest.fixture
async def mailing_shop(database: str, sandbox: Any, issuer: Any, mail: Mailbox) -> AsyncIterator[Shop]:
    """Provide a shop that sends its mail to the mail server."""
    async with open_mailing_shop(database, sandbox, issuer, mail) as opened:
        yield opened
