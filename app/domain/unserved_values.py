"""The value of the unserved issues of a term, in minor units, tax included (rules.md, rule 6)."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from app.domain.money import step
from app.domain.progress import IssueProgress
from app.domain.refunds import COUNTED, Refund, RefundBasis
from app.domain.subscriptions import Payment


def unserved_values(
    of_term: Sequence[Payment], progress: Mapping[str, IssueProgress], refunds: Sequence[Refund]
) -> list[int]:
    """
    Return the refund of each payment of a term for its unserved issues.

    The value of the served issues is rounded down once, over the whole term, to a multiple of the currency's step. If more
    of a payment was already refunded than its unserved issues are worth, the difference reduces the other refunds. When
    print was dropped, the part of a payment for it was settled: what was not refunded is served.

    :param of_term: all payments above zero of one term.
    :param progress: the issues that each payment bought, by payment.
    :param refunds: all refunds of the payments.
    """
    if not of_term:
        return []
    exact, floored, by = Fraction(0), 0, step(of_term[0].currency)
    wanted, owed = [], 0
    for payment in of_term:
        known = progress.get(payment.id)
        settled, kept = _settled_print(payment, refunds)
        if known is not None and known.bought > 0:
            rest = payment.amount - settled
            exact += Fraction(rest * min(known.served, known.bought), known.bought) + kept
        else:
            exact += payment.amount  # it bought no issues that could be unserved
        served, floored = int(exact) // by * by - floored, int(exact) // by * by
        refunded = sum(r.amount for r in refunds if r.payment_id == payment.id and r.status in COUNTED)
        value = payment.amount - payment.credited - served - refunded
        owed += value
        wanted.append(max(value, 0))
    too_much = sum(wanted) - max(owed, 0)
    for index in reversed(range(len(wanted))):
        less = min(wanted[index], too_much)
        wanted[index] -= less
        too_much -= less
    return wanted


def _settled_print(payment: Payment, refunds: Sequence[Refund]) -> tuple[int, int]:
    """
    Return what of a payment was for print that was dropped, and the part of that which was not refunded.

    All of it, and nothing, if the payment added print and was returned whole, other than as goodwill: print ended with it.
    """
    back = [one for one in refunds if one.payment_id == payment.id and one.status in COUNTED]
    is_returned = payment.credited + sum(one.amount for one in back) >= payment.amount
    if payment.print_from is not None and is_returned and not all(one.basis == RefundBasis.GOODWILL for one in back):
        return payment.amount, 0
    dropped = sum(
        r.amount
        for r in refunds
        if r.payment_id == payment.id and r.basis == RefundBasis.PRINT_DROPPED and r.status in COUNTED
    )
    return (payment.print_amount, max(0, payment.print_amount - dropped)) if dropped else (0, 0)
