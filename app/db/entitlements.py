"""
Reading the entitlement row: the one query of the hottest path.

It runs on a bare asyncpg pool, since a SQLAlchemy session costs more than the query (bench: ``check_warm_vs_bare_asgi``).
"""

import json
from typing import Any

import asyncpg

from app.domain.entitlements import NOBODY, Access, load_features

Pool = asyncpg.Pool
_READ = "SELECT access, version FROM entitlements WHERE sub = $1"


async def open_pool(dsn: str, *, size: int, pooler: bool) -> "asyncpg.Pool[asyncpg.Record]":
    """Open the pool of the hot routes; with ``pooler``, without prepared statements."""
    return await asyncpg.create_pool(
        dsn, min_size=1, max_size=size, statement_cache_size=0 if pooler else 100, command_timeout=10
    )


async def read(pool: "asyncpg.Pool[asyncpg.Record]", sub: str) -> tuple[Access, int]:
    """Return what a reader may use, and the version of that; nothing, and version 0, for one we do not know."""
    row = await pool.fetchrow(_READ, sub)
    if row is None:
        return NOBODY, 0
    return _access(json.loads(row["access"])), row["version"]


def _access(stored: dict[str, Any]) -> Access:
    return Access(features=load_features(stored["features"]), otherwise=stored["otherwise"])
