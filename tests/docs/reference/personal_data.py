"""docs/reference/personal-data.md, from the register of personal data."""

from collections.abc import Iterator
from datetime import timedelta

from app.db.personal_data import TABLES
from app.db.retention import EXPIRIES, Expiry
from app.domain.personal_data import Column, Table
from app.settings import PREFIX, Settings
from tests.docs.reference.markdown import NOTE, table

INTRODUCTION = """\
# Personal data

Every column of the database that says something about a person, why it is stored, how long, and what
[erasing a reader](../operate/personal-data.md) does to it. All other columns hold IDs, amounts, times and codes. They lead
to a person only through these columns, or at Stripe.
"""

NIGHTLY = """\
A worker runs it at 4:00 in the publisher's time zone. `retention_runs` has the counts of the last run.

In a night, it reads up to 1 GB of a table, and the next night continues there. So data in a table of 10 GB is removed up to
ten days later. What fails stops nothing else: it is logged as `removal_failed` and tried again.
"""


def page() -> str:
    """Return the page."""
    columns = ["column", "purpose", "kept", "when the reader is erased"]
    readers = [
        (f"`{name}.{column}`", one.purpose, _kept(one.kept), _erased(part, one))
        for name, part, column, one in _all(staff=False)
    ]
    staff = [(f"`{name}.{column}`", one.purpose, _kept(one.kept)) for name, _, column, one in _all(staff=True)]
    expiries = [(one.what[:1].upper() + one.what[1:], _period(one)) for one in EXPIRIES]
    return "\n".join(
        (
            NOTE + "\n",
            INTRODUCTION,
            "## About readers { #readers }\n",
            table(columns, readers),
            "## About staff { #staff }\n",
            table(columns[:3], staff),
            "## What the nightly job removes { #nightly }\n",
            NIGHTLY,
            table(["data", "kept"], expiries),
        )
    )


def _all(*, staff: bool) -> Iterator[tuple[str, Table, str, Column]]:
    for name, part in sorted(TABLES.items()):
        for column, one in part.personal.items():
            if one.staff == staff:
                yield name, part, column, one


def _erased(part: Table, column: Column) -> str:
    if part.deleted:
        return "deleted"
    if part.of is None:
        return "kept"
    if column.erased is None:
        return "emptied" if part.apart else "kept"
    return "emptied" if column.erased in {"NULL", "'{}'", "'erased'"} else "replaced by our own ID"


def _kept(kept: str) -> str:
    if not kept.startswith(PREFIX):
        return kept
    period: timedelta = getattr(Settings(), kept.removeprefix(PREFIX).lower())
    return f"`{kept}` ({_days(period)})"


def _period(expiry: Expiry) -> str:
    return _days(expiry.kept) if isinstance(expiry.kept, timedelta) else _kept(f"{PREFIX}{expiry.kept.upper()}")


def _days(period: timedelta) -> str:
    return f"{period.days:,} days"
