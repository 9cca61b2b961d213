"""
Labels of codes on the pages.

Each begins with a capital letter; the filter ``lower_first`` makes one part of a sentence.
"""

from jinja2 import pass_context
from jinja2.runtime import Context

from app.domain.notifications import TITLES as NOTIFICATION_TITLES
from app.domain.reasons import STAFF_REASONS
from app.domain.staff_members import actor_name

LABELS = {
    # reasons for access
    "paid_term": "Paid term",
    "comp": "Complimentary access",
    "claim": "Claim of a copy",
    "back_issue": "Back issue",
    "trial": "Trial",
    "renewal_pending": "Renewal payment pending",
    "grace_period": "Grace period (renewal unpaid)",
    "issues_owed": "Issues still owed",
    "never_subscribed": "Never subscribed",
    "not_included": "Not included in the plan",
    "not_yet": "Not started yet",
    "on_hold": "On hold",
    "coming_soon": "Coming soon",
    "ended": "Subscription ended",
    "refunded": "Refunded",
    "refund_failed": "Refund failed",
    "payment_failed": "Renewal payment failed",
    "payment_incomplete": "First payment incomplete",
    "dispute_open": "Payment disputed",
    "dispute_lost": "Dispute lost",
    # payments
    "subscription_create": "First payment",
    "subscription_cycle": "Renewal",
    "subscription_update": "Subscription change",
    # bases of refunds
    "guarantee": "Money-back guarantee",
    "withdrawal": "Withdrawal from the contract",
    "unserved_issues": "Unserved issues",
    "goodwill": "Goodwill",
    "duplicate": "Duplicate subscription",
    "dashboard": "Stripe Dashboard",
    "print_dropped": "Print edition removed",
    "print_never_joined": "Print edition never added",
    "paid_after_end": "Paid after cancellation",
    "fraud_warning": "Fraud warning",
    "unspent_credit": "Unspent credit",
    # reasons of refunds, cancellations, extensions and complimentary access
    **STAFF_REASONS,
    # statuses of refunds
    "awaiting_approval": "Awaiting approval",
    "rejected": "Rejected",
    "approved": "Approved",
    "withdrawn": "Withdrawn",
    "processing": "Processing",
    "pending": "Pending",
    "requires_action": "Requires action by the reader",
    "succeeded": "Succeeded",
    "failed": "Failed",
    # price migrations: the statuses and reasons of the changes
    "planning": "Listing subscriptions",
    "running": "Running",
    "stopped": "Stopped",
    "finished": "Finished",
    "price:planned": "Planned",
    "price:announced": "Notice scheduled",
    "price:switching": "Changing",
    "price:switched": "Has the new price",
    "price:completed": "Renewed at the new price",
    "price:left_out": "Left out",
    "price:stopped": "Stopped",
    "price:locked": "The price is locked in the catalogue",
    "price:custom_price": "A price that Newsstand did not create",
    "price:other_currency": "Billed in another currency",
    "price:other_interval": "Billed at another interval",
    "price:ending": "Scheduled to end",
    "price:ended": "Ended",
    "price:scheduled": "Managed by a subscription schedule at Stripe",
    "price:no_notice": "The policy for notices tells this reader nothing",
    "price:not_ours": "Not the subscription of a known reader",
    "price:complimentary": "Nothing is paid for the renewal",
    "price:unchanged": "The price is the same",
    "price:migration_stopped": "The migration was stopped",
    # kinds, channels and statuses of declarations
    "declaration:withdrawal": "Withdrawal",
    "declaration:cancellation": "Cancellation",
    "declaration:reader": "By the reader",
    "declaration:page": "Without a sign-in",
    "declaration:staff": "Entered by staff",
    "declaration:received": "Being carried out",
    "declaration:pending": "Ends with its period; Stripe not informed yet",
    "declaration:scheduled": "Ends early; refund to come",
    "declaration:revoked": "Revoked: the reader resumed",
    "declaration:done": "Carried out",
    "declaration:queued": "Needs action by staff",
    "declaration:settled": "Settled by staff",
    # kinds and statuses of notifications
    **{f"mail:{kind.value}": title for kind, title in NOTIFICATION_TITLES.items()},
    "mail:scheduled": "Scheduled",
    "mail:sending": "Being sent",
    "mail:sent": "Sent",
    "mail:handed_over": "Handed to your mailer",
    "mail:refused": "Refused",
    "mail:uncertain": "May not have been sent",
    "mail:failed": "Failed permanently",
    "mail:undelivered": "Not delivered",
    # claims of copies
    "claim:awaiting_approval": "Awaiting approval",
    "claim:rejected": "Rejected",
    "claim:granted": "Granted",
    "claim:sent": "Replacement sent",
    # statuses of subscriptions
    "active": "Active",
    "past_due": "Past due",
    "canceled": "Canceled",
    "incomplete": "Incomplete",
    "incomplete_expired": "Expired",
    "trialing": "Trial",
    "unpaid": "Unpaid",
    "paused": "Paused",
    "cancel_now": "Canceled immediately",
    "not_renewed": "Canceled before the next period was paid",
    # states of events
    "event:received": "Waiting to be applied",
    "event:failed": "Retrying",
    "event:dead": "Failed permanently",
    "delivery:pending": "Pending",
    "delivery:delivered": "Delivered",
    "delivery:failed": "Failed permanently",
    "delivery:canceled": "Canceled",
}


def label(code: str | None) -> str:
    """Return the label of a code. An unknown code is made readable; None is a dash."""
    if not code:
        return "–"
    return LABELS.get(code) or _readable(code)


def reason_labels(*codes: str) -> dict[str, str]:
    """Return the options of a list of reasons. ``other`` says that it needs a note."""
    return {code: "Other (explain in the note)" if code == "other" else LABELS[code] for code in codes}


def reason(text: str | None) -> str:
    """Return a reason from the audit log or of complimentary access: a code, ``code: note``, or words."""
    code, separator, note = (text or "").partition(": ")
    return LABELS[code] + separator + note if code in LABELS else label(text)


@pass_context
def actor(context: Context, code: str) -> str:
    """Return a person or program as the pages call it. Codes are those of the audit log, such as ``staff:robin``."""
    return actor_name(code, context["staff_names"])


def feature(code: str) -> str:
    """Return the name of a feature: ``ad_free`` becomes ``Ad free``."""
    return _readable(code)


def _readable(code: str) -> str:
    text = code.rpartition(":")[2].replace("_", " ")
    return text[:1].upper() + text[1:]
