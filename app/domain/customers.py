"""A customer of Stripe's, as far as anything follows from one."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCustomerState:
    """A customer as Stripe holds them now. Of one that was deleted nothing else is told."""

    id: str
    email: str | None
    name: str | None
    metadata: Mapping[str, str]
    deleted: bool = False
