"""What a fetched subscription says about its reader: the card that pays, the tax location, and the discounts."""

from datetime import date, datetime, timedelta
from typing import Any

from stripe import Subscription

from app.domain.cards import Card
from app.gateway.fields import field_of, moment_or_none


def card_of(seen: Subscription) -> Card | None:
    """Return the card that pays a subscription: its own, else the customer's default. None if it was not fetched, too."""
    settings = field_of(seen.customer, "invoice_settings") if not isinstance(seen.customer, str) else None
    method = field_of(seen, "default_payment_method") or field_of(settings, "default_payment_method")
    card = field_of(method, "card") if method is not None and not isinstance(method, str) else None
    if card is None or not card.last4:
        return None
    return Card(card.brand, card.last4, field_of(card, "country"), _expiry(card))


def _expiry(card: Any) -> date | None:
    """Return the last day on which a card can pay: the last of its month."""
    year, month = field_of(card, "exp_year"), field_of(card, "exp_month")
    if not year or not month:
        return None
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def discount_ends_of(seen: Subscription) -> tuple[datetime | None, ...]:
    """Return when each discount of a subscription ends; None: it doesn't, or that was not fetched."""
    return tuple(
        None if isinstance(one, str) else moment_or_none(field_of(one, "end"))
        for one in field_of(seen, "discounts") or ()
    )


def shipping_of(owner: Any) -> dict[str, str] | None:
    """Return the fields of a customer's postal address; None without a street, or if the customer was not fetched, too."""
    details = field_of(owner, "shipping") if not isinstance(owner, str) else None
    address = field_of(details, "address")
    names = {"line1": "line1", "line2": "line2", "city": "city", "state": "region"}
    names |= {"postal_code": "postal_code", "country": "country"}
    found = {ours: field_of(address, theirs) or "" for theirs, ours in names.items()}
    return {"name": field_of(details, "name") or "", **found} if found["line1"] else None


def tax_location_of(seen: Subscription) -> tuple[str, str | None] | None:
    """Return country and state of the customer's billing address, from which Stripe computes tax."""
    address = field_of(seen.customer, "address") if not isinstance(seen.customer, str) else None
    country = field_of(address, "country")
    return (country, field_of(address, "state") or None) if country else None
