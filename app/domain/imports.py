"""
Imported subscribers: matching existing Stripe customers to readers.

Stripe identifies a customer by email address, and Newsstand a reader by the identity provider's ``sub``. The publisher's
file or the customer's metadata connects the two. Otherwise the subscriber gets a placeholder and is *claimed* later: by a
reader who signs in with that address, if the identity provider has verified it and only one subscriber matches; else by
support. An unverified address claims nothing, because anyone could sign up with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.callers import LONGEST_SUB
from app.domain.customers import StripeCustomerState
from app.domain.errors import Conflict

UNCLAIMED = "unclaimed:"  # prefix of the placeholder ``sub``


class NotClaimable(Conflict):
    """The Stripe customer can't be assigned to this reader."""

    code = "not_claimable"
    title = "Customer can't be assigned to this reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclaimedSubscriber:
    """A subscriber with a placeholder ``sub``."""

    id: str
    runs: bool  # has a subscription that has not ended


def sub_of(customer: StripeCustomerState, *, subs: Mapping[str, str], metadata_key: str) -> str:
    """Return the ``sub`` of a customer: from the publisher's file, else from their metadata, else a placeholder."""
    sub = (subs.get(customer.id) or customer.metadata.get(metadata_key) or "").strip()
    usable = sub and len(sub) <= LONGEST_SUB and sub.isprintable() and not sub.startswith(UNCLAIMED)
    return sub if usable else f"{UNCLAIMED}{customer.id}"


def only_match(found: Sequence[UnclaimedSubscriber]) -> UnclaimedSubscriber | None:
    """
    Return the only subscriber that an address can mean; None if there is none or more than one.

    Several customers with one address are common, because each purchase may have created one. The only one with a
    subscription counts.
    """
    running = [one for one in found if one.runs]
    if len(running) == 1:
        return running[0]
    return found[0] if len(found) == 1 else None
