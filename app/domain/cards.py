"""The card that pays: never more of it than receipts show."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Card:
    """A card at Stripe, by its brand and its last four digits."""

    brand: str
    last4: str
    country: str | None = None  # of the bank that issued it, ISO 3166
    expires_on: date | None = None  # the last day on which it can pay
