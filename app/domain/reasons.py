"""
The registry of reasons. A reason is one line: its code, which is stored and part of the API, and its label.

``other`` requires a note.
"""

from enum import StrEnum
from itertools import chain
from typing import Self


class Reason(StrEnum):
    """A code with a label for staff."""

    label: str

    def __new__(cls, code: str, label: str) -> Self:
        """Return a member that is equal to its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.label = label
        return member


class CancelReason(Reason):
    """Why staff cancel a subscription."""

    REQUESTED_BY_READER = "requested_by_reader", "Requested by the reader"
    DISSATISFIED = "dissatisfied", "Not satisfied with the magazine"
    TOO_EXPENSIVE = "too_expensive", "Too expensive"
    MOVED = "moved", "Moved away"
    BEREAVEMENT = "bereavement", "Bereavement"
    OTHER = "other", "Other"


class ResumeReason(Reason):
    """Why staff resume a subscription that was scheduled to end."""

    REQUESTED_BY_READER = "requested_by_reader", "Requested by the reader"
    CANCELLED_BY_MISTAKE = "cancelled_by_mistake", "Canceled by mistake"
    OTHER = "other", "Other"


class RefundReason(Reason):
    """Why staff refund a payment."""

    REQUESTED_BY_READER = "requested_by_reader", "Requested by the reader"
    DISSATISFIED = "dissatisfied", "Not satisfied with the magazine"
    COPIES_MISSING = "copies_missing", "Missing copies"
    COPIES_DAMAGED = "copies_damaged", "Damaged copies"
    TECHNICAL_PROBLEM = "technical_problem", "Technical problem"
    BILLED_BY_MISTAKE = "billed_by_mistake", "Billed by mistake"
    RENEWAL_UNWANTED = "renewal_unwanted", "Unwanted renewal"
    HARDSHIP = "hardship", "Financial hardship"
    BEREAVEMENT = "bereavement", "Bereavement"
    OTHER = "other", "Other"


class CompReason(Reason):
    """Why staff give complimentary access."""

    GOODWILL = "goodwill", "Goodwill"
    COPIES_MISSING = "copies_missing", "Missing copies"
    TECHNICAL_PROBLEM = "technical_problem", "Technical problem"
    CONTRIBUTOR = "contributor", "Contributor to the magazine"
    PRESS = "press", "Press or library"
    OTHER = "other", "Other"


class ExtensionReason(Reason):
    """Why staff extend a subscription."""

    COPIES_MISSING = "copies_missing", "Missing copies"
    COPIES_DAMAGED = "copies_damaged", "Damaged copies"
    TECHNICAL_PROBLEM = "technical_problem", "Technical problem"
    GOODWILL = "goodwill", "Goodwill"
    OTHER = "other", "Other"


class ClaimReason(Reason):
    """Why a reader claims a copy."""

    NOT_RECEIVED = "not_received", "Copy not received"
    DAMAGED = "damaged", "Copy damaged"
    INCOMPLETE = "incomplete", "Pages missing or unreadable"


class EndReason(Reason):
    """
    Why Newsstand ended a subscription, apart from the bases of the refunds that do.

    The label completes "Ended on March 3, 2027: …".
    """

    CANCEL_NOW = "cancel_now", "canceled immediately"
    NOT_RENEWED = "not_renewed", "canceled before the next period was paid"
    REPLACED = "replaced", "unpaid beside a paid subscription"
    SUBSCRIBED_AGAIN = "subscribed_again", "renewal not paid, and the reader subscribed again"
    DISPUTE_LOST = "dispute_lost", "payment disputed"
    FRAUD_WARNING = "fraud_warning", "refunded after a fraud warning"
    ERASED = "erased", "paid while the reader was being erased, refunded"


class SuspensionReason(StrEnum):
    """Why a term is suspended."""

    DISPUTE_OPEN = "dispute_open"


class RestorationReason(StrEnum):
    """Why a term that had ended is granted again."""

    REFUND_FAILED = "refund_failed"


STAFF_REASONS: dict[str, str] = {
    reason: reason.label
    for reason in chain(CancelReason, ResumeReason, RefundReason, CompReason, ExtensionReason, ClaimReason)
}
# Reasons that the audit log keeps as codes. Anything else that a person enters as a reason is free text.
LISTED_REASONS = frozenset(STAFF_REASONS) | {"import", "late_copies", "support", "verified_email"}
