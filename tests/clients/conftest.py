"""A running service and a subscriber with an entitlement token, for the tests of both clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.forged_tokens import forged_tokens
from tests.support.shop import Person, Shop, open_shop


@dataclass(frozen=True)
class EntitledReader:
    """A subscriber with an entitlement token, and forgeries of it: name, token and expected reason."""

    shop: Shop
    person: Person
    token: str
    forged_tokens: dict[str, tuple[str, str]]


async def entitlement_token(shop: Shop, reader: Person) -> str:
    """Return a new entitlement token, as a site gets it for its reader."""
    response = await shop.post("/v1/me/entitlement-tokens", reader)
    assert response.status_code in {200, 201}, response.text
    return str(response.json()["token"])


@pytest.fixture
async def entitled_reader(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[EntitledReader]:
    """A subscriber with the digital edition."""
    async with open_shop(database, sandbox, issuer) as shop:
        person = shop.person()
        await shop.subscribe(person)
        token = await entitlement_token(shop, person)
        keys = (await shop.http.get("/.well-known/jwks.json")).json()
        access_token = person.headers["Authorization"].removeprefix("Bearer ")
        yield EntitledReader(
            shop=shop, person=person, token=token, forged_tokens=forged_tokens(token, keys, access_token)
        )
