"""CSV files that people open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable

BYTE_ORDER_MARK = "\ufeff"  # without it, Excel doesn't read UTF-8
FORMULA_STARTS = frozenset("=+-@|%＝＋－＠\t\r\n")  # also in their full width; OWASP, CSV Injection


def cell(value: str | None) -> str:
    """Return a text as the content of a cell, so that no spreadsheet takes it for a formula."""
    text = (value or "").replace("\x00", "")
    is_formula = not FORMULA_STARTS.isdisjoint((text[:1], text.lstrip()[:1]))
    return f"'{text}" if is_formula else text


def rows(values: Iterable[Iterable[str | None]]) -> str:
    """Return rows of a CSV file."""
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(
        [cell(value) for value in row] for row in values
    )
    return written.getvalue()
