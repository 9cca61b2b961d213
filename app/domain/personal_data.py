"""What the register of personal data says about a table. The register itself is in :mod:`app.db.personal_data`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with personal data."""

    purpose: str
    kept: str  # how long
    erased: str | None = None  # the SQL value that replaces it when the reader is erased; None: it is kept
    staff: bool = False  # it is about a member of staff


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, with all its columns."""

    plain: str  # columns that say nothing about a person, or only by an ID, separated by spaces
    personal: Mapping[str, Column] = field(default_factory=dict)
    of: str | None = None  # the condition for the rows of one reader; None: there are none
    deleted: bool = False  # whether erasing deletes the rows
    apart: bool = False  # erased by a function of its own, because its rows can't simply be updated
