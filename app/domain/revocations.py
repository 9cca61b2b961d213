"""Revocations: subscribers who lost access, so that caches of decisions and tokens can drop them immediately."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """
    Tokens and decisions for ``sub`` with a lower version than ``version`` are no longer valid.

    Versions only increase: an erased reader who comes back with the same ``sub`` starts above their revocations.
    """

    id: int
    sub: str
    version: int
    at: datetime
