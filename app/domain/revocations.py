"""Whose access shrank: for whoever remembers answers, or tokens, to forget them at once."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Tokens and answers about ``sub`` of a version below ``version`` no longer hold."""

    id: int
    sub: str
    version: int
    at: datetime
