"""
Subscribers who subscribed before there was Newsstand: who they are, and how they get what they paid for.

Stripe knows a customer by their address, Newsstand a reader by their identity provider's ``sub``. The publisher's own file
or the customer's metadata says which belong together. Where neither does, the subscriber is kept under a placeholder, and is
*claimed*: by the reader who signs in with that very address, if the identity provider says that it has verified it and one
subscription alone can be meant; else by support, who ask the reader. An address nobody has verified claims nothing, or
whoever types another's into a sign-up would read at their cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.callers import LONGEST_SUB
from app.domain.customers import StripeCustomerState
from app.domain.errors import Conflict

UNCLAIMED = "unclaimed:"  # how the ``sub`` begins of a subscriber of whom nobody knows who they are


class NotClaimable(Conflict):
    """The Stripe customer can't be assigned to this reader."""

    code = "not_claimable"
    title = "Customer can't be assigned to this reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclaimedSubscriber:
    """A subscriber under a placeholder."""

    id: str
    placeholder: str
    runs: bool  # has a subscription that is not over


def sub_of(customer: StripeCustomerState, *, subs: Mapping[str, str], metadata_key: str) -> str:
    """Return the ``sub`` of a customer: as the publisher's file says, else their metadata; else a placeholder."""
    told = (subs.get(customer.id) or customer.metadata.get(metadata_key) or "").strip()
    usable = told and len(told) <= LONGEST_SUB and told.isprintable() and not told.startswith(UNCLAIMED)
    return told if usable else f"{UNCLAIMED}{customer.id}"


def only_match(found: Sequence[UnclaimedSubscriber]) -> UnclaimedSubscriber | None:
    """
    Return the one subscriber that can be meant by an address; None: there is none, or nobody can tell.

    Many customers of one address are common, for each purchase may have made one: the only one that has something counts.
    """
    running = [one for one in found if one.runs]
    if len(running) == 1:
        return running[0]
    return found[0] if len(found) == 1 else None
