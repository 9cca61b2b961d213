"""Whether print of a subscription starts only with its next renewal."""

from app.db import print_changes
from app.db.engine.session import Session
from app.domain.print_quotes import joined_late
from app.domain.print_renewals import lacks_print
from app.domain.subscriptions import Subscription, Term


async def starts_at_renewal(session: Session, subscription: Subscription, term: Term | None) -> bool:
    """
    Return whether a term is without print, and the next renewal includes it: its payment arrived after the last renewal.

    Print that was added at Stripe is part of the running term.
    """
    if term is None or not lacks_print(subscription, term):
        return False
    return joined_late(await print_changes.latest(session, subscription.id), term)
