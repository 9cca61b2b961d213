"""
Reading the entitlement row: the one query of the hottest path.

It runs on a bare asyncpg pool, since a SQLAlchemy session costs more than the query (bench: ``check_warm_vs_bare_asgi``).
"""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from app.domain.entitlements import NOBODY, Access, load_features

Pool = asyncpg.Pool
_READ = "SELECT access, version FROM entitlements WHERE sub = $1"


async def open_pool(dsn: str, *, size: int, pooler: bool) -> "asyncpg.Pool[asyncpg.Record]":
    """
    Open the pool of the hot routes; with ``pooler``, without prepared statements.

    Only single statements run on it, which leave nothing behind in their session. So nothing is reset when a
    connection is given back: that is a second way to the server and back, for each query.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        statement_cache_size=0 if pooler else 100,
        command_timeout=10,
        reset=_leave_as_it_is,
    )


async def _leave_as_it_is(_: object) -> None:
    """Do nothing. asyncpg itself ends a transaction that was left open."""


async def read(pool: "asyncpg.Pool[asyncpg.Record]", sub: str) -> tuple[Access, int]:
    """Return what a reader may use, and the version of that; nothing, and version 0, for one we do not know."""
    row = await pool.fetchrow(_READ, sub)
    if row is None:
        return NOBODY, 0
    stored = json.loads(row["access"])
    return Access(features=load_features(stored["features"]), otherwise=stored["otherwise"]), row["version"]


async def read_about(pool: "asyncpg.Pool[asyncpg.Record]", sub: str, feature: str) -> Access:
    """Return as much of what a reader may use as decides about one feature."""
    row = await pool.fetchrow(_READ, sub)
    return NOBODY if row is None else about(feature, json.loads(row["access"]))


def about(feature: str, stored: Mapping[str, Any]) -> Access:
    """Leave out the other features, unless the one has no spells: then they decide whether it is included."""
    features = stored["features"]
    spells = features.get(feature)
    return Access(features=load_features({feature: spells} if spells else features), otherwise=stored["otherwise"])
