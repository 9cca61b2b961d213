"""What the queries run on: a session, a connection, and the IDs of rows in the middle of the tables."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.db.engine.session import Session, Sessions
from bench.scale.fill import Size
from bench.scale.ids import make_id

MAX_ROWS = 4_000  # that one scan may read, whatever the size of the tables
PAGE = 51  # rows of a page and one more, as the console asks for
DEEP = 1_000  # pages before a deep page
ZONE = ZoneInfo("America/New_York")
OWNER, LEASE = "bench", timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A filled database, in one transaction that is rolled back. ``pool`` takes the place of a pool."""

    session: Session
    sessions: Sessions
    pool: Any
    size: Size
    now: datetime

    def id(self, prefix: str, number: int = 1234) -> str:
        """Return the ID of a row."""
        return make_id(prefix, number)

    def ids(self, prefix: str, count: int = 100) -> list[str]:
        """Return the IDs of some rows."""
        return [make_id(prefix, number) for number in range(count)]

    @property
    def reader(self) -> str:
        """The ID of a subscriber."""
        return self.id("rdr")

    @property
    def subscription(self) -> str:
        """Our ID of a subscription of :attr:`reader`."""
        return self.id("scr")

    def rows(self, table: str) -> int:
        """Return the number of rows of a table."""
        return self.size.rows_of(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """
    A call of a function of ``app.db``.

    ``name`` is ``<module>.<function>``. ``reads_all`` is the reason why the cost of the call may grow with a table.
    """

    name: str
    case: str = ""
    run: Callable[[Subject], Awaitable[object]]
    max_rows: int = MAX_ROWS
    reads_all: str | None = None

    def __str__(self) -> str:
        """Return the name for reports."""
        return f"{self.name} ({self.case})" if self.case else self.name


def query(
    name: str,
    run: Callable[[Subject], Awaitable[object]],
    case: str = "",
    *,
    max_rows: int = MAX_ROWS,
    reads_all: str | None = None,
) -> Query:
    """Return a query."""
    return Query(name=name, case=case, run=run, max_rows=max_rows, reads_all=reads_all)


def days_ago(subject: Subject, days: float) -> datetime:
    """Return a time before now."""
    return subject.now - timedelta(days=days)


NOW = datetime(2026, 6, 1, tzinfo=UTC)  # where a value only has to be a time
