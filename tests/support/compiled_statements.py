"""
SQL statements that are compiled once for all engines of a test process.

A service has one engine for its lifetime, and compiles each statement once. Each test opens a service of its own: compiling
its statements again took an eighth of the suite's time.
"""

from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

_SHARED: "LRUCache[Any, Any]" = LRUCache(5_000)


def share() -> None:
    """Let the engines that are opened from now on use one cache. Statements are found in it by dialect."""
    PGDialect_asyncpg.__eq__ = _is_same_dialect  # type: ignore[method-assign,assignment]
    PGDialect_asyncpg.__hash__ = _hash  # type: ignore[method-assign,assignment]
    Engine._compiled_cache = property(lambda _: _SHARED, lambda _, __: None)  # type: ignore[assignment]  # set by each


def _version(dialect: PGDialect_asyncpg) -> object:
    return getattr(dialect, "server_version_info", None)


def _is_same_dialect(one: PGDialect_asyncpg, other: object) -> bool:
    return isinstance(other, PGDialect_asyncpg) and _version(one) == _version(other)


def _hash(dialect: PGDialect_asyncpg) -> int:
    return hash(_version(dialect))
