"""Stripe customers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCustomerState:
    """The current state of a customer at Stripe. A deleted customer has no other data."""

    id: str
    email: str | None
    name: str | None
    metadata: Mapping[str, str]
    deleted: bool = False
    shipping: Mapping[str, str] | None = None  # the fields of a postal address
    credit: Mapping[str, int] = field(default_factory=dict)  # by currency, in minor units; negative is debt
