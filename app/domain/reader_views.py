"""Views of readers: which member of staff saw which reader's data, when and where."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

COUNTED_ONCE = timedelta(minutes=10)  # repeated views of a reader by one person within this time are one view


class Place(StrEnum):
    """Where a reader was seen. Values are part of the API."""

    CONSOLE = "console"
    API = "api"
    SEARCH = "search"  # among the results of a search or in a list: the name and the email address
    EXPORT = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who sees readers, and where."""

    actor: str  # as in the audit log
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderView:
    """A view of a reader."""

    id: int
    subscriber_id: str
    viewer: str
    place: str
    at: datetime  # of the first view within :data:`COUNTED_ONCE`
