"""Connections, and the transactions that services open."""

import secrets
from typing import Any

import asyncpg
from sqlalchemy import Row
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

DATABASE_AWAY = (OSError, OperationalError, InterfaceError)  # it is not what was asked that is wrong
Sessions = async_sessionmaker[AsyncSession]
Session = AsyncSession
Record = Row[*tuple[Any, ...]]  # of a statement that names columns and not a mapped class: that costs half


def make_engine(dsn: str, *, pool_size: int = 10, pooler: bool = False) -> AsyncEngine:
    """
    Return an engine over asyncpg for any libpq-style address, TLS settings and several hosts included.

    :param pooler: whether a transaction pooler stands between; then no statement is prepared for longer than its use.
    """
    cached = 0 if pooler else 100

    async def connect(*_: object, **__: object) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn, statement_cache_size=cached)

    return create_async_engine(
        "postgresql+asyncpg://" + ("?prepared_statement_cache_size=0" if pooler else ""),
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged; what they were about may be a name or an address
    )


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Return the factory of transactions: ``async with sessions.begin() as session``."""
    return async_sessionmaker(engine, expire_on_commit=False, autoflush=False)


def new_id(prefix: str) -> str:
    """Return an opaque id: ``prefix``, an underscore and 120 random bits."""
    return f"{prefix}_{secrets.token_hex(15)}"
