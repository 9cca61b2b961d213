"""Conditions on many values."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import InstrumentedAttribute


def among(column: "InstrumentedAttribute[Any]", values: Collection[str]) -> ColumnElement[bool]:
    """
    Return the condition that a column has one of several values, which are sent as one array.

    ``in_`` makes a parameter and a piece of SQL for each value: for a hundred that costs more than the query.
    """
    return column == func.any(bindparam(None, list(values), type_=ARRAY(TEXT)))
