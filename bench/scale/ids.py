"""IDs of the rows, as SQL and in Python. They are as long and as random as real ones, so indexes are as large."""

import hashlib

LENGTH = 26  # hexadecimal digits, about as many characters as Stripe's IDs have


def sql_id(prefix: str, number: str) -> str:
    """Return an SQL expression for the ID of a row. ``number`` is an expression as well."""
    return f"('{prefix}_' || left(md5('{prefix}' || ({number})), {LENGTH}))"


def make_id(prefix: str, number: int) -> str:
    """Return the ID of a row."""
    return f"{prefix}_{hashlib.md5(f'{prefix}{number}'.encode(), usedforsecurity=False).hexdigest()[:LENGTH]}"
