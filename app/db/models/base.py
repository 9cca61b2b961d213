"""Shared by all tables: names of constraints, types of columns, and :class:`Due`, a row that may need work."""

from datetime import datetime
from typing import Any, ClassVar, cast

from sqlalchemy import BigInteger, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

JSON = dict[str, Any]


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can name it too."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        JSON: JSONB,
        list[str]: ARRAY(Text),
    }


def table_of(model: type[Base]) -> Table:
    """Return the table of rows, for statements that name columns: they cost half as much as ORM statements."""
    return cast("Table", model.__table__)


class Due:
    """A row that may need work. ``due_at`` NULL: nothing to do. Times are the database's."""

    work_key: Mapped[str]  # one worker at a time for each key
    due_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")  # counted before the try
    last_error: Mapped[str | None]
