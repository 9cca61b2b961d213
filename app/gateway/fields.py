"""The fields of Stripe's objects, which may be absent."""

from datetime import UTC, datetime
from typing import Any


def field_of(thing: Any, name: str) -> Any:
    """Return a field of a Stripe object; None if the object or the field is absent."""
    return thing[name] if thing is not None and name in thing else None


def moment(seconds: int) -> datetime:
    """Return the time of a Stripe timestamp."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: int | None) -> datetime | None:
    """Return the time of a Stripe timestamp, if there is one."""
    return moment(seconds) if seconds is not None else None
