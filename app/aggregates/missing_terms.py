"""
Terms that we missed: paid renewals without a payment, because a promotion or the customer balance covered them.

A missed payment is found by comparing payments. Such a renewal has none, so its term is compared instead.
"""

from collections.abc import Awaitable, Callable, Sequence

from app.db import subscriptions
from app.db.engine.session import Session, Sessions
from app.domain.reconciliation import Difference, ListedInvoice, may_open_term, missing_term
from app.domain.rules import Rules
from app.domain.subscriptions import StripeSubscriptionState
from app.domain.terms import terms_of
from app.gateway.client import Gone

Fetch = Callable[[str], Awaitable[StripeSubscriptionState]]


async def candidates(session: Session, listed: Sequence[ListedInvoice]) -> list[ListedInvoice]:
    """Return the listed invoices of our subscriptions that may open a term which we don't have."""
    free = [one for one in listed if one.subscription_id is not None and one.invoice.status == "paid"]
    free = [one for one in free if not one.invoice.payments]
    held = await subscriptions.by_stripe_ids(session, [str(one.subscription_id) for one in free])
    known = await subscriptions.known_terms(session, [one.invoice.id for one in free])
    return [
        one
        for one in free
        if one.invoice.id not in known and may_open_term(one.invoice, held.get(str(one.subscription_id)))
    ]


async def find(sessions: Sessions, rules: Rules, invoices: Sequence[ListedInvoice], fetch: Fetch) -> list[Difference]:
    """
    Return the differences of those invoices that do open a term.

    A list does not say what an invoice is for, so the subscription of each is fetched with its invoices.
    """
    found = []
    for stripe_id in dict.fromkeys(str(one.subscription_id) for one in invoices):
        try:
            state = await fetch(stripe_id)
        except Gone:
            continue  # compared with the subscriptions
        wanted = {one.invoice.id for one in invoices if one.subscription_id == stripe_id}
        opened = [term for term in terms_of(state, rules.catalogue) if term.invoice_id in wanted]
        async with sessions.begin() as session:
            known = await subscriptions.known_terms(session, [term.invoice_id for term in opened])
        found += [missing_term(term, stripe_id) for term in opened if term.invoice_id not in known]
    return found
