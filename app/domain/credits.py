"""
Credits: what was returned of a payment in another way than by a refund. Amounts in minor units.

A credit note can add an amount to the customer's balance at Stripe (``credit_amount``), or record what was returned outside
Stripe (``out_of_band_amount``). A change of plan can leave an invoice with a negative total, which Stripe adds to the
balance. All of them count as returned, so that nothing is returned twice.

The balance of a customer pays later invoices. What it paid of a refunded invoice goes back to the balance
(:func:`due_to_balance`). A proration credit that is unspent when the subscription ends is taken out of the balance again,
and refunded (:func:`unspent_refunds`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain.progress import term_of, term_within
from app.domain.quotes import payments_of_term
from app.domain.refunds import CONFIRMED, ENDING, Refund, RefundBasis, refundable_amount
from app.domain.subscriptions import Payment, StripeInvoiceState, StripeSubscriptionState, Term


class CreditKind(StrEnum):
    """How the money was returned."""

    OUT_OF_BAND = "out_of_band"  # a credit note records a return outside Stripe
    BALANCE = "balance"  # a credit note added it to the customer's balance
    PRORATION = "proration"  # an invoice with a negative total added it to the customer's balance
    RECLAIMED = "reclaimed"  # we took an unspent proration credit out of the balance, to refund it
    RETURNED = "returned"  # a credit note returned to the balance what it had paid; of no payment
    UNBILLED = "unbilled"  # a pending proration that we deleted when the subscription ended; negative if it was a debit


OF_NOTES = frozenset({CreditKind.OUT_OF_BAND, CreditKind.BALANCE})
UNSPENT = frozenset({CreditKind.RECLAIMED, CreditKind.UNBILLED})  # to be refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """
    An amount that was returned of the payments of an invoice, or of a term.

    The amount of a credit note leaves out what it returned of the part that the balance had paid.
    """

    id: str  # of the credit note, invoice, balance transaction or invoice item at Stripe
    kind: str
    invoice_id: str | None  # whose payments it returns; of a proration, the invoice with the negative total
    amount: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPart:
    """What a credit returned of one payment."""

    payment_id: str
    amount: int
    credited_at: datetime


def credits_of(seen: StripeSubscriptionState) -> list[Credit]:
    """Return the credits that Stripe made of a subscription's invoices, the earliest first."""
    found: list[Credit] = []
    for invoice in seen.invoices:
        found += _credits_of_notes(invoice)
        if invoice.status == "paid" and invoice.total < 0:
            found.append(
                Credit(
                    id=invoice.id,
                    kind=CreditKind.PRORATION,
                    invoice_id=invoice.id,
                    amount=-invoice.total,
                    currency=invoice.currency,
                    created_at=invoice.paid_at or invoice.period_start,
                )
            )
    return sorted(found, key=lambda credit: (credit.created_at, credit.id, credit.kind))


def _credits_of_notes(invoice: StripeInvoiceState) -> Iterable[Credit]:
    """Yield the credits of an invoice's credit notes. What the balance paid is returned first."""
    of_balance = invoice.paid_by_balance
    for note in sorted(invoice.credit_notes, key=lambda note: (note.created_at, note.id)):
        returned = min(note.to_balance, of_balance)
        of_balance -= returned
        amounts = {CreditKind.OUT_OF_BAND: note.out_of_band, CreditKind.BALANCE: note.to_balance}
        for kind, amount in amounts.items():
            if amount > 0:
                yield Credit(
                    id=note.id,
                    kind=kind,
                    invoice_id=invoice.id,
                    amount=amount - returned if kind == CreditKind.BALANCE else amount,
                    currency=invoice.currency,
                    created_at=note.created_at,
                )
        if returned > 0:
            yield Credit(
                id=note.id,
                kind=CreditKind.RETURNED,
                invoice_id=invoice.id,
                amount=returned,
                currency=invoice.currency,
                created_at=note.created_at,
            )


def still_of_balance(terms: Iterable[Term], credits: Sequence[Credit]) -> int:
    """Return what the customer's balance paid of terms, without what credit notes returned to it."""
    paid = {term.invoice_id: term.paid_by_balance for term in terms if not term.is_refunded}
    for credit in credits:
        if credit.kind == CreditKind.RETURNED and credit.invoice_id in paid:
            paid[credit.invoice_id] -= credit.amount
    return sum(max(0, left) for left in paid.values())


def with_credits(
    payments: Sequence[Payment], terms: Sequence[Term], credits: Sequence[Credit], refunds: Sequence[Refund]
) -> list[Payment]:
    """Return the payments, each with what was credited of it: the sum of its :func:`credit_parts`."""
    credited = dict.fromkeys((payment.id for payment in payments), 0)
    for part in credit_parts(payments, terms, credits, refunds):
        credited[part.payment_id] += part.amount
    return [replace(payment, credited=credited[payment.id]) for payment in payments]


def credit_parts(
    payments: Sequence[Payment], terms: Sequence[Term], credits: Sequence[Credit], refunds: Sequence[Refund]
) -> list[CreditPart]:
    """
    Return what each credit returned of each payment, in order. The parts of a payment never exceed it.

    A credit note concerns the payments of its invoice, the earliest first. A proration concerns those of the term that ran,
    the newest first, because what was added last is usually what was removed. What was refunded of a payment can't have
    been credited of it, as long as another one has room. What was reclaimed no longer counts.
    """
    credited = dict.fromkeys((payment.id for payment in payments), 0)
    parts: list[CreditPart] = []
    for credit in credits:
        amount, own = 0, list[Payment]()
        if credit.kind in OF_NOTES:
            amount, own = credit.amount, [one for one in payments if one.invoice_id == credit.invoice_id]
        elif credit.kind == CreditKind.PRORATION:
            amount, own = credit.amount - reclaimed(credit, credits), funding(credit, payments, terms)
        before = dict(credited)
        _spread(amount, own, credited, refunds)
        parts += [
            CreditPart(payment_id=name, amount=until - before[name], credited_at=credit.created_at)
            for name, until in credited.items()
            if until > before[name]
        ]
    return parts


def _spread(amount: int, payments: Sequence[Payment], credited: dict[str, int], refunds: Sequence[Refund]) -> None:
    for counted in (refunds, ()):  # first what is neither refunded nor credited, then what is not credited
        for payment in payments:
            left = refundable_amount(replace(payment, credited=credited[payment.id]), counted)
            part = min(amount, max(0, left))
            credited[payment.id] += part
            amount -= part


def funding(credit: Credit, payments: Sequence[Payment], terms: Sequence[Term]) -> list[Payment]:
    """Return the payments of the term that ran when a proration credit was made, the newest first."""
    before = [one for one in payments if one.amount > 0 and one.paid_at <= credit.created_at]
    if not before:
        return []
    begun = [term for term in terms if term.starts_at <= credit.created_at]
    ran = max(begun, key=lambda term: (term.starts_at, term.invoice_id), default=None)
    if ran is None:
        of_term = payments_of_term(before[-1], before, terms)
    else:
        of_term = [one for one in before if term_of(one, terms) == ran]
    return sorted(of_term, key=lambda one: (one.paid_at, one.id), reverse=True)


def reclaimed(credit: Credit, credits: Iterable[Credit]) -> int:
    """Return what we took back of a proration credit."""
    return sum(one.amount for one in credits if one.kind == CreditKind.RECLAIMED and one.invoice_id == credit.id)


def reclaimable(
    credits: Sequence[Credit],
    balances: Mapping[str, int],
    payments: Sequence[Payment],
    terms: Sequence[Term],
    refunds: Sequence[Refund],
    *,
    unrefundable: Collection[str] = (),
) -> list[tuple[Credit, int]]:
    """
    Return the proration credits to take out of the customer's balance, the newest first, each with the amount.

    It is at most what is left in the balance, and what can then be refunded to the payments that funded the credit.

    :param balances: the customer's credit by currency, positive.
    :param unrefundable: IDs of payments that cannot be refunded.
    """
    found, left, known = [], dict(balances), list(credits)
    for credit in sorted(credits, key=lambda one: (one.created_at, one.id), reverse=True):
        if credit.kind != CreditKind.PRORATION:
            continue
        amount = min(credit.amount - reclaimed(credit, credits), left.get(credit.currency, 0))
        while amount > 0:
            taken = replace(credit, id=f"{credit.id}:reclaimed", kind=CreditKind.RECLAIMED, amount=amount)
            after = with_credits(payments, terms, [*known, taken], refunds)
            _, rest = unspent_refunds([*known, taken], after, terms, refunds, unrefundable=unrefundable)
            if rest == 0:
                found.append((credit, amount))
                left[credit.currency] -= amount
                known.append(taken)
                break
            amount -= rest
    return found


def unspent_refunds(
    credits: Sequence[Credit],
    payments: Sequence[Payment],
    terms: Sequence[Term],
    refunds: Sequence[Refund],
    *,
    unrefundable: Collection[str] = (),
) -> tuple[list[tuple[Payment, int]], int]:
    """
    Return the refunds that unspent credits are due, each with its payment, and what cannot be refunded to any payment.

    That is what we took out of the balance, and the pending prorations that we deleted, minus the refunds ordered before.
    A term that was refunded for its unserved issues, or whole, was refunded with its pending prorations.
    """
    ended = {term.invoice_id for term in terms if term.is_refunded}
    owed, unbilled = 0, 0
    sources: list[Payment] = []
    for credit in sorted(credits, key=lambda one: (one.created_at, one.id), reverse=True):
        own = [one for one in funding(credit, payments, terms) if one.currency == credit.currency]
        if credit.kind == CreditKind.PRORATION:
            taken_back = reclaimed(credit, credits)
            owed += taken_back
            sources += own if taken_back else []
        elif credit.kind == CreditKind.UNBILLED and not any(_opened_by(one, terms) in ended for one in own):
            unbilled += credit.amount
            sources += own
    owed += max(0, unbilled)
    owed -= sum(
        one.amount for one in refunds if one.basis == RefundBasis.UNSPENT_CREDIT and one.payment_id in _ids(payments)
    )
    found = []
    for payment in dict.fromkeys(sources):
        blocked = payment.id in unrefundable or payment.is_outside_stripe
        part = 0 if blocked else min(owed, refundable_amount(payment, refunds))
        if part > 0:
            found.append((payment, part))
            owed -= part
    return found, max(0, owed)


def _opened_by(payment: Payment, terms: Sequence[Term]) -> str | None:
    term = term_of(payment, terms)
    return term.invoice_id if term is not None else None


def _ids(payments: Iterable[Payment]) -> set[str]:
    return {payment.id for payment in payments}


def due_to_balance(
    invoice: StripeInvoiceState,
    credits: Sequence[Credit],
    payments: Sequence[Payment],
    terms: Sequence[Term],
    refunds: Sequence[Refund],
    *,
    bought_nothing: bool = False,
) -> int:
    """
    Return what is due to the customer's balance of a paid invoice that it had paid, whole or in part.

    With a whole refund of the term, or for an invoice that bought nothing, that is all that it paid; with a refund of
    unserved issues the same share as of the payments, rounded up in the reader's favor. What credit notes returned to the
    balance before is deducted.

    :param bought_nothing: whether the invoice was paid after the end, or for a duplicate.
    """
    due = invoice.paid_by_balance if bought_nothing else _refunded_share(invoice, payments, terms, refunds)
    noted = sum(note.to_balance for note in invoice.credit_notes)
    ours = sum(one.amount for one in credits if one.kind == CreditKind.RETURNED and one.invoice_id == invoice.id)
    return max(0, due - max(noted, ours))


def _refunded_share(
    invoice: StripeInvoiceState, payments: Sequence[Payment], terms: Sequence[Term], refunds: Sequence[Refund]
) -> int:
    term = next((one for one in terms if one.invoice_id == invoice.id), None)
    if term is None:
        effect, paid_at = invoice.effect, invoice.paid_at
        printed = effect.print_added[0].starts_at if effect.span is None and effect.print_added else None
        term = term_within(terms, print_from=printed, paid_at=paid_at) if paid_at is not None else None
    if term is None or not term.is_refunded:
        return 0
    if term.refunded_as != RefundBasis.UNSERVED_ISSUES:
        return invoice.paid_by_balance if term.refunded_as in {*ENDING, RefundBasis.DASHBOARD} else 0
    of_term = [one for one in payments if one.amount > 0 and term_of(one, terms) == term]
    paid, ids = sum(one.amount for one in of_term), _ids(of_term)
    back = sum(
        one.amount
        for one in refunds
        if one.payment_id in ids and one.status in CONFIRMED and one.basis == RefundBasis.UNSERVED_ISSUES
    )
    return min(-(-invoice.paid_by_balance * back // paid), invoice.paid_by_balance) if paid else 0


def is_whole(
    invoice_id: str, payments: Sequence[Payment], credits: Sequence[Credit], refunds: Sequence[Refund]
) -> bool:
    """Return whether credit notes, with the confirmed refunds, returned all payments of an invoice."""
    own = [one for one in payments if one.invoice_id == invoice_id]
    paid = sum(one.amount for one in own)
    noted = sum(one.amount for one in credits if one.kind in OF_NOTES and one.invoice_id == invoice_id)
    refunded = sum(one.amount for one in refunds if one.payment_id in _ids(own) and one.status in CONFIRMED)
    return noted > 0 and noted + refunded >= paid > 0
