"""A shop with a reader who has a token, for both clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.forged_tokens import forged
from tests.support.shop import Person, Shop, open_shop


@dataclass(frozen=True)
class Held:
    """What a client is shown: a reader's token, and what others made of it."""

    shop: Shop
    reader: Person
    token: str
    forged: dict[str, tuple[str, str]]


async def token_of(shop: Shop, reader: Person) -> str:
    """Fetch a reader's token, as the site does for them."""
    answer = await shop.post("/v1/me/entitlement-tokens", reader)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["token"])


@pytest.fixture
async def held(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Held]:
    """Give a subscriber of digital and what a client may be shown of theirs."""
    async with open_shop(database, sandbox, issuer) as shop:
        reader = shop.person()
        await shop.subscribes(reader)
        token = await token_of(shop, reader)
        keys = (await shop.http.get("/.well-known/jwks.json")).json()
        access = reader.headers["Authorization"].removeprefix("Bearer ")
        yield Held(shop=shop, reader=reader, token=token, forged=forged(token, keys, access))
