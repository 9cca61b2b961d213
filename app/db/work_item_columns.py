"""The columns that the queries of the work queue have in common; see :mod:`app.db.work_queue`."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Integer, Text, cast, func, literal_column, null

from app.domain.work_queue import ItemKind


def code_of(code: StrEnum) -> ColumnElement[str]:
    """Return a code as a literal, so that a prepared statement can use the partial indexes with any plan."""
    return literal_column(f"'{code.value}'", Text)


def state_of(*parts: Any) -> ColumnElement[str]:
    """Return what changes when an item changes. It is hashed, because the parts may quote personal data."""
    return func.md5(func.concat_ws("|", *parts))


_TYPES: Mapping[str, Any] = {"amount": Integer, "due_by": DateTime(timezone=True)}


def item_of(
    row: Any,
    at: Any,
    *,
    kind: ItemKind,
    code: Any,
    state: Sequence[Any],
    since: Any = None,
    why: Any = None,
    detail: Any = None,
) -> tuple[Any, ...]:
    """Return the columns of a kind of item. A column that its table doesn't have is NULL."""
    columns = {"why": why, "detail": detail} | {name: getattr(row, name, None) for name in _OF_TABLES}
    return (
        row.id.label("object_id"),
        code_of(kind).label("kind"),
        code.label("code"),
        *(
            (cast(null(), _TYPES.get(name, Text)) if column is None else column).label(name)
            for name, column in columns.items()
        ),
        (at if since is None else since).label("since"),
        at.label("at"),
        state_of(*state).label("state"),
    )


_OF_TABLES = ("subscriber_id", "payment_id", "amount", "currency", "requested_by", "due_by")
