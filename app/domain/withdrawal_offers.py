"""
What withdrawing from a contract would do now, for its reader.

A withdrawal is a declaration, so it counts although money can't be refunded at once: while a bank disputes the payment, for
example, the contract ends and staff look after the refund.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain.credits import Credit, still_of_balance
from app.domain.errors import DomainError
from app.domain.money import Money, OtherCurrency
from app.domain.places import Place
from app.domain.quotes import Quote, RefundContext, quote_withdrawal, withdrawal_right
from app.domain.refunds import (
    NothingToRefund,
    NoWithdrawalRight,
    PaidByCredit,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    RefundBasis,
    WithdrawalPeriodOver,
)
from app.domain.subscriptions import AlreadyEnded, Subscription, Term
from app.domain.withdrawals import Contract, WithdrawalRight, right_of

REFUNDED_MANUALLY = (PaymentDisputed, PaidOutsideStripe, OtherCurrency)
NOTHING_PAID = (NothingToRefund, PaidByCredit)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalOffer:
    """What a withdrawal would do, or why it is refused."""

    money: Money  # that is refunded at once
    to_balance: int = 0  # that is returned to the customer's balance, which paid it; minor units
    place: Place
    right: WithdrawalRight | None
    refusal: DomainError | None = None
    manual_refund_reason: DomainError | None = None  # why staff refund what was paid; None: refunded automatically
    payment_id: str | None = None  # one of those that are refunded
    quote: Quote | None = None  # None: nothing was paid

    @property
    def allowed(self) -> bool:
        """Whether the reader can withdraw."""
        return self.refusal is None

    def check(self, expected: Money) -> None:
        """
        Check that the reader can withdraw, and still gets the amount that they saw.

        :raises DomainError: they can't.
        :raises QuoteChanged: the amount has changed.
        """
        if self.refusal is not None:
            raise self.refusal
        self.money.same_as(expected)
        if expected.amount != self.money.amount:
            raise QuoteChanged(
                f"The refundable amount is now {self.money.amount}, not {expected.amount}",
                expected=expected.amount,
                amount=self.money.amount,
            )


def offer(case: RefundContext, subscription: Subscription, *, now: datetime, zone: ZoneInfo) -> WithdrawalOffer:
    """Return what withdrawing from a contract for which something was charged would do."""
    quote = quote_withdrawal(case, now=now, zone=zone)
    found = WithdrawalOffer(
        money=quote.money,
        place=case.place,
        right=withdrawal_right(case, zone=zone),
        refusal=quote.refusal,
        payment_id=quote.parts[0].payment.id if quote.parts else None,
        quote=quote,
    )
    nothing = Money(0, quote.currency)
    if isinstance(quote.refusal, REFUNDED_MANUALLY):
        return replace(found, money=nothing, refusal=None, manual_refund_reason=quote.refusal, payment_id=None)
    if isinstance(quote.refusal, NOTHING_PAID) and subscription.can_be_canceled:
        return replace(found, money=nothing, refusal=None, payment_id=None)
    return found


def unpaid_offer(
    subscription: Subscription, contract: Contract, place: Place, *, now: datetime, zone: ZoneInfo
) -> WithdrawalOffer:
    """Return what withdrawing from a contract for which nothing was charged yet would do."""
    right = right_of(place, contract, zone=zone)
    refusal: DomainError | None = None
    if right is None:
        refusal = NoWithdrawalRight()
    elif not right.is_open(now):
        refusal = WithdrawalPeriodOver()
    elif not subscription.can_be_canceled:
        refusal = AlreadyEnded()
    return WithdrawalOffer(money=Money(0, subscription.currency), place=place, right=right, refusal=refusal)


def with_balance(found: WithdrawalOffer, terms: Sequence[Term], credits: Sequence[Credit]) -> WithdrawalOffer:
    """
    Return the offer with what the customer's balance paid and has not got back.

    If staff refund the rest, they decide about it.
    """
    if not found.allowed or found.manual_refund_reason is not None:
        return found
    return replace(found, to_balance=still_of_balance(terms, credits))


def recommended_right(withdrawal: WithdrawalOffer, guarantee: Quote | None) -> str | None:
    """
    Return which of a reader's two rights to recommend; None: neither applies.

    The larger refund is. With equal refunds it is the withdrawal, because it leaves the guarantee for another time.
    """
    amounts = {RefundBasis.WITHDRAWAL: withdrawal.money.amount} if withdrawal.allowed else {}
    if guarantee is not None and guarantee.allowed:
        amounts[RefundBasis.GUARANTEE] = guarantee.amount
    return max(amounts, key=lambda basis: amounts[basis], default=None)
