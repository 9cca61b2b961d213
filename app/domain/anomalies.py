"""
What is out of order with a subscription, found when Stripe was looked at: kept with the reason, shown to staff, not guessed.

Hands in Stripe's Dashboard can make what the catalogue does not know. Money that arrived stays what it is; what cannot be
understood grants nothing by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.plans import DIGITAL, Catalogue
from app.domain.subscriptions import StripeSubscriptionState

UNKNOWN_CUSTOMER = "stranger"  # it is of our offer, and of a customer who is none of our subscribers
ADDRESS_MISMATCH = "address_differs"  # a customer has another than their reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Something that staff have to look at."""

    object_id: str  # Stripe's: a subscription, a customer
    code: str
    reason: str
    subscriber_id: str | None
    seen_at: datetime  # first
    gone_at: datetime | None


def item_anomalies(seen: StripeSubscriptionState, catalogue: Catalogue) -> Mapping[str, str]:
    """Return what is out of order with what a subscription is of, each with the reason in a sentence."""
    found = {}
    ours = [item for item in seen.items if item.plan is not None]
    plans = sorted({item.plan for item in ours if item.plan is not None})
    foreign = len(seen.items) - len(ours)
    if len(plans) > 1:
        found["two_plans"] = (
            f"it mixes the plans {', '.join(plans)}; its plan stays what it was, and new terms are none"
        )
    if not ours:
        found["none_of_ours"] = "no item of it is of our catalogue any more; what was paid for before stays"
    elif foreign:
        found["foreign_item"] = f"{foreign} of its items are of another product; they count for nothing here"
    if ours and not any(item.component == DIGITAL for item in ours):
        found["no_digital"] = "it has no digital edition, which every plan has"
    if many := [item for item in ours if item.quantity != 1]:
        told = ", ".join(f"{item.quantity} of {item.component}" for item in many)
        found["quantity"] = f"{told}: a subscription is for one reader, who has it once whatever is paid"
    priced = {
        p.price.currency for code in plans if code in catalogue.plans for p in catalogue.plan(code).prices.values()
    }
    if priced and seen.currency not in priced:
        found["other_currency"] = f"it is paid in {seen.currency}, and the catalogue has {', '.join(sorted(priced))}"
    return found


def address_mismatch(ours: str | None, theirs: str | None) -> str | None:
    """Return why an address at Stripe is to be looked at; None: it is the reader's own, or one of both is not known."""
    if ours is None or theirs is None or ours.casefold() == theirs.casefold():
        return None
    return f"Stripe has the address {theirs}, and the identity provider says {ours}: receipts go to Stripe's"
