"""
Anomalies: states at Stripe that no rule expects. They are stored with the reason and shown to staff.

A manual change in Stripe's Dashboard can create something that the catalogue doesn't contain. Payments stay as they are;
a state that can't be interpreted grants nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.invoice_lines import InvoiceLine, charged_too_late
from app.domain.invoices import InvoiceStatus
from app.domain.money import Money
from app.domain.plans import DIGITAL, Catalogue
from app.domain.print_changes import MOST_DROPS, PrintChange
from app.domain.subscriptions import StripeInvoiceState, StripeSubscriptionState
from app.domain.terms import uneven_interval

UNKNOWN_CUSTOMER = "stranger"  # the subscription is for one of our plans, but its customer is not a subscriber
PRINT_CHARGED_LATE = "print_charged_late"  # paid for printed copies that could not be sent anymore
PRINT_UNBILLED = "print_unbilled"  # it joined after the running term had been billed without it
PRINT_DROP_MISSING = "print_drop_missing"  # the metadata at Stripe doesn't say that print was dropped
PRINT_CHANGE_REFUSED = "print_change_refused"  # Stripe refuses a change of the print edition that was promised
UNSPENT_CREDIT = "unspent_credit"  # a customer without a live subscription has credit in their balance
UNREFUNDED_CREDIT = "unrefunded_credit"  # an unspent credit for which no payment can be refunded
RENEWAL_DIFFERS = "renewal_differs"  # it was billed at another amount than the notice of the new price said
WEBHOOK_ENDPOINT_DISABLED = "webhook_endpoint_disabled"  # it kept failing, so no events are sent to it
ADDRESS_MISMATCH = "address_differs"  # the customer's email address differs from the reader's


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A state at Stripe that staff must check."""

    object_id: (
        str  # of a Stripe subscription or customer, a change of the print edition or the price, or a webhook endpoint
    )
    code: str
    reason: str
    subscriber_id: str | None
    seen_at: datetime  # first
    gone_at: datetime | None


def item_anomalies(seen: StripeSubscriptionState, catalogue: Catalogue) -> Mapping[str, str]:
    """Return the anomalies of a subscription's items: the reason of each, by code."""
    found = {}
    ours = [item for item in seen.items if item.plan is not None]
    plans = sorted({item.plan for item in ours if item.plan is not None})
    foreign = len(seen.items) - len(ours)
    if len(plans) > 1:
        found["two_plans"] = (
            f"The subscription mixes the plans {', '.join(plans)}. Its plan stays unchanged, and it opens no new terms."
        )
    if not ours:
        found["none_of_ours"] = "No item of the subscription is in the catalogue anymore. Paid terms stay unchanged."
    elif foreign:
        items = "1 item belongs" if foreign == 1 else f"{foreign} items belong"
        found["foreign_item"] = f"{items} to another product and grant nothing."
    if ours and not any(item.component == DIGITAL for item in ours):
        found["no_digital"] = "The subscription has no digital edition, which every plan includes."
    if many := [item for item in ours if item.quantity != 1]:
        quantities = ", ".join(f"{item.component}: {item.quantity}" for item in many)
        found["quantity"] = f"The quantity is not 1 ({quantities}). A subscription is for one reader."
    for item in ours:
        plan = catalogue.plans.get(item.plan or "")
        if plan is not None and (every := uneven_interval(item, plan)) is not None:
            found["uneven_interval"] = (
                f"The {item.component} price is billed every {every}, by which the issues of the plan can't be divided "
                "evenly. Each term grants access and owes its share of the issues, rounded."
            )
    priced = {
        p.price.currency for code in plans if code in catalogue.plans for p in catalogue.plan(code).prices.values()
    }
    if priced and seen.currency not in priced:
        currencies = ", ".join(sorted(priced))
        found["other_currency"] = (
            f"The subscription is paid in {seen.currency}, but the catalogue has prices in {currencies}."
        )
    return found


def print_charged_late(seen: StripeSubscriptionState, returned: Mapping[str, int]) -> Mapping[str, str]:
    """
    Return the anomaly of invoices that charged for copies which could not be sent anymore: the reason by code.

    That happens if print is added with ``create_prorations``: the rest of the period is charged when the next one starts.

    :param returned: what was returned of each invoice, in minor units. One of which that much was returned is settled.
    """
    late = [
        f"{Money(amount, one.currency)} (invoice {one.number or one.id})"
        for one in seen.invoices
        if one.status == InvoiceStatus.PAID and one.paid_at is not None
        if (amount := charged_too_late(one.lines, paid_at=one.paid_at)) > returned.get(one.id, 0)
    ]
    if not late:
        return {}
    words = f"The reader paid for printed copies that were not sent: {', '.join(late)}. Refund that amount as goodwill."
    return {PRINT_CHARGED_LATE: words}


def print_unbilled(added: PrintChange) -> Mapping[str, str]:
    """Return the anomaly of print that was added for an earlier term, and joined after the renewal: the reason by code."""
    words = (
        f"Print was added for the term that ended on {added.ends_at.date()}, and the payment succeeded after the renewal, "
        "which was billed without print. The reader gets no printed copies of the running term until they add print to it."
    )
    return {PRINT_UNBILLED: words}


def print_drop_missing(seen: StripeSubscriptionState, dropped: Collection[datetime]) -> Mapping[str, str]:
    """
    Return the anomaly of a subscription whose metadata lacks when print was dropped: the reason by code.

    :param dropped: when it was, as our changes say.
    """
    missing = sorted(set(dropped) - set(seen.print_dropped))
    if not missing or len(seen.print_dropped) >= MOST_DROPS:  # the oldest are left out
        return {}
    value = ",".join(str(int(at.timestamp())) for at in sorted({*seen.print_dropped, *missing}))
    words = (
        "The metadata of the subscription no longer says that print was dropped. Its copies are not owed again. Set "
        f"newsstand_print_dropped to {value} in Stripe's Dashboard."
    )
    return {PRINT_DROP_MISSING: words}


def unspent_credit(credit: Mapping[str, int]) -> str | None:
    """Return what is left in the balance of a customer without a live subscription; None if nothing is."""
    left = ", ".join(str(Money(amount, currency)) for currency, amount in sorted(credit.items()) if amount > 0)
    if not left:
        return None
    return f"The customer has {left} of unspent credit at Stripe, and no subscription that will use it."


def unrefunded_credit(amount: Money) -> str:
    """Return the reason why staff must look at an unspent credit."""
    return f"{amount} of unspent credit is owed to the reader, but no payment of the subscription can be refunded."


def renewal_invoice(seen: StripeSubscriptionState, renewal_at: datetime) -> StripeInvoiceState | None:
    """Return the invoice of a renewal; None if there is none, or it was voided."""
    return next(
        (
            one
            for one in seen.invoices
            if one.status != InvoiceStatus.VOID and any(line.span.starts_at == renewal_at for line in _billed(one))
        ),
        None,
    )


def renewal_difference(invoice: StripeInvoiceState, *, told: Money) -> str | None:
    """
    Return why staff must look at the renewal at a new price; None if it was billed as its reader was told.

    Prorations and other items on the invoice are left out, as in the quote.
    """
    billed = Money(sum(line.total for line in _billed(invoice)), invoice.currency)
    if told == billed:
        return None
    return f"The renewal at the new price was billed at {billed}, but the notice to the reader said {told}."


def _billed(invoice: StripeInvoiceState) -> list[InvoiceLine]:
    return [line for line in invoice.lines if line.of_subscription and not line.proration]


def address_mismatch(ours: str | None, theirs: str | None) -> str | None:
    """Return how the email address at Stripe differs from the reader's; None if it doesn't, or if one is unknown."""
    if ours is None or theirs is None or ours.casefold() == theirs.casefold():
        return None
    return f"The email address is {theirs} at Stripe and {ours} at the identity provider. Receipts go to {theirs}."
