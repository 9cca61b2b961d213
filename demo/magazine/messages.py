"""Messages to readers for the service's status, reason and error codes."""

from typing import Any

from demo.magazine.formatting import date, money, sentence
from demo.magazine.newsstand_client import Problem

SUBSCRIBERS_ONLY = "The rest of this article is for subscribers."

PAYWALL_REASONS = {
    "never_subscribed": SUBSCRIBERS_ONLY,
    "ended": "Your subscription has ended. Subscribe again to keep reading.",
    "refunded": "Your subscription was refunded. Subscribe again to keep reading.",
    "refund_failed": "We couldn’t refund you, and your subscription has ended. Please contact us.",
    "dispute_open": "Your bank is disputing your payment, so your access is on hold until the dispute is settled.",
    "dispute_lost": "Your bank returned your payment to you, so your subscription has ended.",
    "payment_failed": "We couldn’t charge your card. You can read this article again once your payment goes through.",
    "payment_incomplete": "Your payment hasn’t arrived yet. You can read this article as soon as it does.",
    "not_included": "Your plan doesn’t include this article.",
    "not_yet": "Your subscription hasn’t started yet.",
    "coming_soon": "Coming soon for all subscribers.",
}

STATUSES = {
    "active": "Your subscription is active.",
    "trialing": "You’re on a free trial.",
    "past_due": "We couldn’t charge your card. We’ll try again soon.",
    "unpaid": "We couldn’t charge your card.",
    "incomplete": "Your first payment hasn’t arrived yet.",
    "incomplete_expired": "Your first payment never arrived, so your subscription didn’t start.",
    "canceled": "Your subscription has ended.",
    "paused": "Your subscription is paused.",
}

URGENT_NOTICES = frozenset(
    {"payment_disputed", "dispute_open", "dispute_lost", "refund_failed"}
)  # the service's own words
ENDING_REFUNDS = frozenset(
    {"guarantee", "withdrawal", "unserved_issues", "duplicate"}
)  # refund bases that end the subscription

ERRORS = {
    "already_subscribed": "You already have a subscription, so you don’t need another one.",
    "no_subscription": "You don’t have a subscription.",
    "idempotency_key_in_use": "We’re still working on your first request. You don’t need to send it again.",
}


PROMOTION_CODE_REFUSALS = {
    "first_time_only": "The code “{code}” is only for new subscribers.",
    "below_minimum": "The code “{code}” is only for larger orders.",
    "other_currency": "The code “{code}” isn’t valid in your currency.",
    "other_customer": "The code “{code}” was made for another reader.",
    "not_applicable": "The code “{code}” can’t be used for this subscription.",
}


def promotion_code(code: str, reason: str) -> str:
    """Return why a promotion code can't be used."""
    return PROMOTION_CODE_REFUSALS.get(reason, "The code “{code}” isn’t valid or has expired.").format(code=code)


def error(problem: Problem) -> str:
    """Return the message for an error: ours if we have one for its code, otherwise the service's."""
    return sentence(ERRORS.get(problem.code) or problem.detail or problem.title)


def paywall(reason: str) -> str:
    """Return why a signed-in reader can't read the rest of an article."""
    return PAYWALL_REASONS.get(reason, "Your subscription doesn’t include this article right now.")


def subscription_status(subscription: dict[str, Any], timezone: str) -> str:
    """Return the status of a subscription and what happens next, in one or two sentences."""
    status, notice = str(subscription.get("status")), subscription.get("notice") or {}
    if notice.get("code") in URGENT_NOTICES:
        return str(notice.get("text")).replace("'", "’")
    message = STATUSES.get(status, f"Your subscription is {status.replace('_', ' ')}.")
    renews, ends = date(subscription.get("renews_at"), timezone), date(subscription.get("ends_at"), timezone)
    if subscription.get("ended_by") in ENDING_REFUNDS:
        return f"Your subscription was refunded and ended on {ends}." if ends else "Your subscription was refunded."
    if status == "canceled":
        if str(notice.get("until") or "") > str(subscription.get("ends_at") or ""):  # what was paid outlives it
            return f"Canceled. You have access until {date(notice.get('until'), timezone)}."
        return f"Your subscription ended on {ends}." if ends else message
    if status == "incomplete_expired":
        return message
    notice = subscription.get("notice") or {}
    if notice.get("action") == "subscribe":  # access has ended, although the subscription has not
        return str(notice.get("text"))
    if ends:
        return f"Canceled. You have access until {ends}."
    if renews and status in ("active", "trialing"):
        return f"{message} It renews on {renews}."
    return message


def notice_text(subscription: dict[str, Any] | None, timezone: str) -> str | None:
    """Return what the service wants the reader to know, unless the status says the same."""
    if subscription is None or not subscription.get("notice"):
        return None
    if subscription["notice"].get("code") in ("ended", "ends"):
        return None
    text = str(subscription["notice"].get("text")).replace("'", "’")
    return None if text == subscription_status(subscription, timezone).replace("'", "’") else text


def notice_link(subscription: dict[str, Any] | None, *, hosted_account: str) -> tuple[str, str] | None:
    """Return what the reader can do about the notice: the name of a link, and its URL."""
    notice = (subscription or {}).get("notice") or {}
    if notice.get("pay_url"):
        return "Confirm your payment" if notice.get("action") == "confirm_payment" else "Pay now", notice["pay_url"]
    if notice.get("action") == "update_payment_method":
        return "Update your card", f"{hosted_account}/"
    return None


def is_on_hold(subscription: dict[str, Any] | None) -> bool:
    """Return whether access is on hold, because the payment is disputed: the access has no end date then."""
    return ((subscription or {}).get("notice") or {}).get("code") == "dispute_open"


def other_access(access: dict[str, Any] | None, timezone: str) -> str | None:
    """Return what the reader may read apart from a subscription, as a sentence."""
    if not access:
        return None
    source = "complimentary access" if access.get("reason") == "comp" else "access from another subscription"
    until = f" until {date(access.get('until'), timezone)}" if access.get("until") else ""
    return f"You have {source}{until}."


def refund_status(refund: dict[str, Any]) -> str:
    """Return the status of a refund, for the reader."""
    amount = money(refund.get("amount"))
    if refund.get("status") in ("failed", "canceled"):
        return f"We couldn’t refund {amount} to your card. Please contact us."
    if refund.get("status") == "succeeded":
        return f"We’ve refunded {amount} to your card. It takes 5 to 10 days to appear on your statement."
    return f"Your refund of {amount} is on its way to your card. You don’t need to do anything."
