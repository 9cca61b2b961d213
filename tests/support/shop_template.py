"""
What every shop starts with: an account at the local Stripe that has the catalogue, and an API key of the site.

The catalogue is pushed once for each test worker. Each shop then copies that account, which is much faster.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from app.domain.api_keys import BASE62, RANDOM_LENGTH, compose
from app.gateway.client import Gateway
from app.services import api_keys, catalogue, catalogue_push
from tests.support.timeouts import TIMEOUT

CATALOGUE = Path(__file__).parents[2] / "catalogue.toml"
_accounts: dict[str, str] = {}  # the secret key of the account with the catalogue, by the URL of the local Stripe


async def copy_catalogue(stripe: httpx2.AsyncClient, sandbox: Any) -> None:
    """Copy the objects of the catalogue into the account of a client of the local Stripe."""
    if sandbox.url not in _accounts:
        _accounts[sandbox.url] = await _push_catalogue(sandbox)
    copied = await stripe.post("/_sandbox/copy", json={"source": _accounts[sandbox.url]})
    assert copied.status_code == 200, copied.text


async def _push_catalogue(sandbox: Any) -> str:
    key = str(sandbox.key())
    gateway = Gateway(url=sandbox.url, api_key=key, timeout=timedelta(seconds=TIMEOUT))
    try:
        async for _ in catalogue_push.push(gateway, catalogue.load(CATALOGUE)):
            pass
    finally:
        await gateway.close()
    return key


async def add_api_key(pool: asyncpg.Pool) -> str:
    """Add an API key with which a server may check entitlements, and return it."""
    key = compose(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH))
    await pool.execute(
        "INSERT INTO api_keys (id, hash, name, scopes) VALUES ($1, $2, $3, $4)",
        f"key_{secrets.token_hex(15)}",
        api_keys.digest(key),
        "the site",
        ["entitlements:read"],
    )
    return key
