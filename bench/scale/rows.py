"""What a table is filled with."""

from dataclasses import dataclass

FEW = 0.0  # for each reader: of tables that grow with the nights, or with what staff do by hand


@dataclass(frozen=True, slots=True)
class Rows:
    """
    The rows of a table.

    ``columns`` are those that are filled, each with an expression over ``k``, the number of the row from 0. In it, {n} is
    the number of readers, {s} of subscriptions and {of_table} of the table's rows.
    """

    table: str
    for_each_reader: float
    columns: dict[str, str]
