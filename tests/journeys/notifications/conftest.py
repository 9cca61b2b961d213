"""A shop with a mail server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.mailbox import Mailbox, mailbox
from tests.support.shop import Shop, open_shop

SENDER = "Slow Ferry <subscriptions@example.com>"


@pytest.fixture
async def mail() -> AsyncIterator[Mailbox]:
    """Provide a mail server."""
    async with mailbox() as box:
        yield box


@pytest.fixture
async def mailing_shop(database: str, sandbox: Any, issuer: Any, mail: Mailbox) -> AsyncIterator[Shop]:
    """Provide a shop that sends its mail to the mail server."""
    options: dict[str, Any] = {"smtp_url": SecretStr(mail.url), "mail_from": SENDER}
    options["account_url"] = "https://billing.example.com/account"
    async with open_shop(database, sandbox, issuer, **options) as opened:
        yield opened
