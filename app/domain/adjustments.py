"""Adjustments: changes of how many issues a term owes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.errors import Invalid


class ExtensionTooLarge(Invalid):
    """A subscription can be extended by at most one term's issues at a time."""

    code = "extension_too_large"
    title = "Extension exceeds one term"


class AdjustmentKind(StrEnum):
    """Why a term owes more or fewer issues than were bought."""

    EXTENSION = "extension"
    GRACE_COPIES = "grace_copies"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A change of the number of issues that a term owes: positive or negative. It applies from ``at``."""

    kind: str
    issues: int
    at: datetime
