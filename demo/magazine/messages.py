"""The service's codes, amounts and times in sentences that a reader understands."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from demo.magazine.newsstand_client import Problem

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}
WITHOUT_CENTS = {"jpy", "krw", "vnd", "clp", "isk"}

CLOSED = {
    "never_subscribed": "The rest of this article is for subscribers.",
    "ended": "Your subscription has ended, so the rest of this article is closed.",
    "refunded": "Your subscription was refunded, so the rest of this article is closed.",
    "dispute_open": "Your bank has taken your payment back for now, so the rest of this article is closed until it decides.",
    "dispute_lost": "Your bank has given you your money back, so your subscription has ended.",
    "payment_failed": "Your last payment did not go through, so the rest of this article is closed for now.",
    "payment_incomplete": "Your payment has not arrived yet. The rest of this article opens as soon as it does.",
    "not_included": "Your plan does not include this article.",
    "not_yet": "Your subscription has not begun yet.",
    "coming_soon": "This is coming soon, for every subscriber.",
}
ANONYMOUS = "The rest of this article is for subscribers."

STATUS = {
    "active": "Your subscription is active",
    "trialing": "Your trial is running",
    "past_due": "Your last payment did not go through, and we are trying again",
    "unpaid": "Your last payment did not go through",
    "incomplete": "Your first payment has not arrived yet",
    "incomplete_expired": "Your first payment never arrived, so the subscription did not begin",
    "canceled": "Your subscription has ended",
    "paused": "Your subscription is paused",
}

REFUNDED = frozenset({"guarantee", "unserved_issues", "duplicate"})  # the refunds that end a subscription

REFUSED = {
    "already_subscribed": "You have a subscription already, so there is nothing to pay.",
    "no_subscription": "You have no subscription yet.",
    "idempotency_key_in_use": "Your first click is still being worked on. There is no need for another.",
}


def refusal(problem: Problem) -> str:
    """Return the service's refusal as a sentence: our own for what happens to readers, else its detail."""
    return sentence(REFUSED.get(problem.code) or problem.detail or problem.title)


def sentence(said: str) -> str:
    """Return what the service said with a capital and a full stop."""
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def money(amount: dict[str, Any] | None) -> str:
    """Return an amount as a price: `$49` or `$49.50`."""
    if not amount or amount.get("amount") is None:
        return ""
    minor, currency = int(amount["amount"]), str(amount.get("currency", "")).lower()
    symbol = SYMBOLS.get(currency, f"{currency.upper()} ")
    if currency in WITHOUT_CENTS:
        return f"{symbol}{minor:,}"
    whole, cents = divmod(minor, 100)
    return f"{symbol}{whole:,}.{cents:02}" if cents else f"{symbol}{whole:,}"


def date(value: str | None, timezone: str) -> str:
    """Return an instant as the publisher's calendar shows it: `3 March 2027`."""
    if not value:
        return ""
    local = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(ZoneInfo(timezone))
    return f"{local.day} {local:%B %Y}"


def last_day(value: str | None, timezone: str) -> str:
    """Return the last day of something that lasts until an instant: until midnight is the day before."""
    if not value:
        return ""
    return date((datetime.fromisoformat(value.replace("Z", "+00:00")) - timedelta(seconds=1)).isoformat(), timezone)


def closed(reason: str) -> str:
    """Return why an article ends at the paywall for somebody who is signed in."""
    return CLOSED.get(reason, "Your subscription does not cover this article at the moment.")


def standing(subscription: dict[str, Any], timezone: str) -> str:
    """Return the state of a subscription, and what comes next, in one or two sentences."""
    status = str(subscription.get("status"))
    opening = STATUS.get(status, f"Your subscription is {status.replace('_', ' ')}")
    renews, ends = date(subscription.get("renews_at"), timezone), date(subscription.get("ends_at"), timezone)
    if subscription.get("ended_by") in REFUNDED:
        return f"Your subscription was refunded{f' and ended on {ends}' if ends else ' and has ended'}."
    if status == "canceled":
        return f"Your subscription ended on {ends}." if ends else f"{opening}."
    if status == "incomplete_expired":
        return f"{opening}."
    if ends:
        return f"{opening}, and ends on {ends}. It will not renew."
    if renews and status in ("active", "trialing"):
        return f"{opening}. It renews on {renews}."
    return f"{opening}."


def refund(paid: dict[str, Any]) -> str:
    """Return how a refund to a reader stands."""
    amount = money(paid.get("amount"))
    if paid.get("status") in ("failed", "canceled"):
        return f"Your bank did not take the {amount} back. Please write to us, and we find another way."
    if paid.get("status") == "succeeded":
        return f"{amount} goes back to the card you paid with. Banks take five to ten days to show it."
    return f"{amount} is on its way back to the card you paid with. There is nothing more for you to do."


def editions(names: list[str] | None) -> str:
    """Return what the reader gets: `Digital and print`."""
    return " and ".join(names or ["digital"]).capitalize()
