"""
Reading for one page: statements of Core's, built once, asked straight of asyncpg.

A page of the console asks a dozen small questions by key. Through a session each costs about twice what the server and
the driver need for it, and the session itself as much as three (bench: ``reader_page_vs_queries``). Nothing is written
here, and no two answers have to be of one moment, so there is no transaction either.
"""

import json
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import JSON, Select
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from app.db.engine.pool import Pool
from app.db.engine.session import CLOSED, DatabaseUnreachable, Record, Session

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]


class _Ready:
    """A statement as the driver takes it, and how its rows are read."""

    __slots__ = ("fixed", "make", "names", "sql")

    def __init__(self, statement: "Select[Any]") -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self.names: Sequence[str] = compiled.positiontup or ()
        self.fixed = compiled.params  # what the statement says itself; None for the rest
        columns = list(statement.selected_columns)
        row = namedtuple("Row", [column.name for column in columns])  # type: ignore[misc]
        stored = [index for index, column in enumerate(columns) if isinstance(column.type, JSON)]
        self.make: Callable[[Any], Any] = row._make if not stored else lambda found: row._make(_read(found, stored))


def _read(found: Sequence[Any], stored: Sequence[int]) -> list[Any]:
    values = list(found)
    for index in stored:
        if values[index] is not None:
            values[index] = json.loads(values[index])
    return values


class Reading:
    """Takes a session's place where one only reads."""

    _known: "dict[Select[Any], _Ready]" = {}  # noqa: RUF012 - of statements that live as long as the process

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def execute(self, statement: "Select[Any]", parameters: Mapping[str, object]) -> list[Record]:
        """
        Return the rows of a statement that was built once: it is remembered.

        :raises DatabaseUnreachable: it cannot be asked.
        """
        ready = self._known.get(statement)
        if ready is None:
            ready = self._known[statement] = _Ready(statement)
        values = [parameters[name] if name in parameters else ready.fixed[name] for name in ready.names]
        try:
            found = await self._pool.fetch(ready.sql, *values)
        except ValueError:  # what is asked for cannot be
            raise
        except CLOSED:
            found = await self._again(ready.sql, values)
        return cast("list[Record]", [ready.make(row) for row in found])

    async def _again(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Ask once more: the server was restarted, and the pool did not know. Its next connection is a new one."""
        try:
            return await self._pool.fetch(sql, *values)
        except (OSError, *CLOSED) as failure:
            raise DatabaseUnreachable(f"{type(failure).__name__}: {failure}") from failure


Reads = Session | Reading  # what a function takes that may be a part of a page
