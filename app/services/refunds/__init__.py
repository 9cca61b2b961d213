"""
Refunds: requested, approved, and each paid once.

A refund has phases that can each be repeated, even if a process stops in between:

1. Under the subscriber's lock the quote is checked and the intent is stored, one refund for each payment (:mod:`.requests`).
2. Stripe is called, after a check whether it has made the refund already (:mod:`.payout`).
3. One commit records the result, ends access and makes the subscription's cancellation due. Then the credit note is created
   (:mod:`.credit_notes`), and a worker cancels the subscription at Stripe. Access ends before the credit note is created, so
   that a slow call does not prolong it.
"""

from app.services.refunds.exits import finish_exit
from app.services.refunds.payout import finish
from app.services.refunds.requests import (
    RefundRequest,
    approve,
    get,
    guarantee_request,
    issue,
    page,
    reject,
    why_rejected,
)
from app.services.refunds.withdrawals import Withdrawal, WithdrawalPreview, preview_withdrawal, withdraw

__all__ = [
    "RefundRequest",
    "Withdrawal",
    "WithdrawalPreview",
    "approve",
    "finish",
    "finish_exit",
    "get",
    "guarantee_request",
    "issue",
    "page",
    "preview_withdrawal",
    "reject",
    "why_rejected",
    "withdraw",
]
