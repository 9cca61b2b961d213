"""
Stripe's test cards: their public numbers and their behavior.

Only the brand, the last four digits and the behavior are kept, never the number.
"""

from dataclasses import dataclass
from typing import Literal

Decline = tuple[str, str | None, str]
"""Error code, decline code and message."""

DECLINED: Decline = ("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS: Decline = ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
NOT_A_TEST_CARD: Decline = (
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card.",
)
NOT_AUTHENTICATED: Decline = (
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is kept of a card."""

    brand: str
    last4: str
    method: str
    """The test payment method with the same behavior, such as `pm_card_visa`."""
    decline: Decline | None = None
    """How charges are declined; None if they succeed."""
    attaches: bool = True
    """Whether the card can be attached to a customer even though charges are declined."""
    authentication: bool = False
    """Whether each payment requires 3-D Secure."""
    refund: Literal["succeeds", "pends", "fails"] = "succeeds"
    dispute: Literal["chargeback", "inquiry"] | None = None
    """The kind of dispute that follows a payment."""
    dispute_reason: str = "fraudulent"
    fraud_warning: bool = False
    """Whether an early fraud warning follows a payment."""


def _declined(code: str, decline_code: str | None, message: str) -> Decline:
    return code, decline_code, message


_CARDS: dict[str, Card] = {
    "4242424242424242": Card(brand="visa", last4="4242", method="pm_card_visa"),
    "4000056655665556": Card(brand="visa", last4="5556", method="pm_card_visa_debit"),
    "5555555555554444": Card(brand="mastercard", last4="4444", method="pm_card_mastercard"),
    "378282246310005": Card(brand="amex", last4="0005", method="pm_card_amex"),
    "4000000000000002": Card(
        brand="visa", last4="0002", method="pm_card_visa_chargeDeclined", decline=DECLINED, attaches=False
    ),
    "4000000000009995": Card(
        brand="visa",
        last4="9995",
        method="pm_card_visa_chargeDeclinedInsufficientFunds",
        decline=INSUFFICIENT_FUNDS,
        attaches=False,
    ),
    "4000000000000069": Card(
        brand="visa",
        last4="0069",
        method="pm_card_chargeDeclinedExpiredCard",
        decline=_declined("expired_card", None, "Your card has expired."),
        attaches=False,
    ),
    "4000000000000127": Card(
        brand="visa",
        last4="0127",
        method="pm_card_chargeDeclinedIncorrectCvc",
        decline=_declined("incorrect_cvc", None, "Your card's security code is incorrect."),
        attaches=False,
    ),
    "4000000000000119": Card(
        brand="visa",
        last4="0119",
        method="pm_card_chargeDeclinedProcessingError",
        decline=_declined(
            "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
        ),
        attaches=False,
    ),
    "4000000000000341": Card(brand="visa", last4="0341", method="pm_card_chargeCustomerFail", decline=DECLINED),
    "4000002760003184": Card(brand="visa", last4="3184", method="pm_card_authenticationRequired", authentication=True),
    "4000000000000259": Card(brand="visa", last4="0259", method="pm_card_createDispute", dispute="chargeback"),
    "4000000000002685": Card(
        brand="visa",
        last4="2685",
        method="pm_card_createDisputeProductNotReceived",
        dispute="chargeback",
        dispute_reason="product_not_received",
    ),
    "4000000000001976": Card(brand="visa", last4="1976", method="pm_card_createDisputeInquiry", dispute="inquiry"),
    "4000000000005423": Card(brand="visa", last4="5423", method="pm_card_createIssuerFraudRecord", fraud_warning=True),
    "4000000000007726": Card(brand="visa", last4="7726", method="pm_card_pendingRefund", refund="pends"),
    "4000000000005126": Card(brand="visa", last4="5126", method="pm_card_refundFail", refund="fails"),
}

_BY_METHOD = {card.method: card for card in _CARDS.values()}


def by_number(number: str) -> Card:
    """Return the test card with a number that passed `is_valid_number`. Other numbers are declined."""
    return _CARDS.get(number) or Card(
        brand="visa",
        last4=number[-4:],
        method="",
        decline=NOT_A_TEST_CARD,
        attaches=False,
    )


def by_method(method_id: str) -> Card | None:
    """Return the card of a test payment method such as `pm_card_visa`, or None."""
    return _BY_METHOD.get(method_id)


def is_valid_number(number: str) -> bool:
    """Return whether the digits have the length of a card number and pass the Luhn check."""
    if not number.isascii() or not number.isdigit() or not 13 <= len(number) <= 19:
        return False
    doubled = [int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
