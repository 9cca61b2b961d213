"""Codes, amounts and times in words that a person reads."""

import re
from datetime import datetime, timedelta

from jinja2 import pass_context
from jinja2.runtime import Context

from app.domain.text import format_date

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}
WITHOUT_CENTS = frozenset({"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
                           "xaf", "xof", "xpf"})  # fmt: skip

WORDS = {
    "paid_term": "a paid term",
    "comp": "a comp",
    "renewal_pending": "the renewal is being charged",
    "grace_period": "grace while the renewal is unpaid",
    "never_subscribed": "never subscribed",
    "not_included": "not in their plan",
    "not_yet": "not begun yet",
    "coming_soon": "coming soon, for everybody",
    "ended": "the subscription ended",
    "refunded": "refunded",
    "payment_failed": "the renewal was not paid",
    "payment_incomplete": "the first payment has not arrived",
    "subscription_create": "first payment",
    "subscription_cycle": "renewal",
    "subscription_update": "change",
    "guarantee": "Money-back guarantee",
    "unserved_issues": "Unserved issues",
    "goodwill": "Goodwill",
    "duplicate": "Paid twice",
    "dashboard": "Made in Stripe's Dashboard",
    "print_dropped": "Print dropped",
    "paid_after_end": "Paid after the end",
    "fraud_warning": "Fraud warning",
    "requested_by_reader": "the reader asked for it",
    "billed_by_mistake": "billed by mistake",
    "rejected": "rejected",
    "withdrawn": "withdrawn",
    "processing": "being paid",
    "succeeded": "given back",
    "failed": "failed",
    "requires_action": "waiting for the reader",
    "awaiting_approval": "waiting for approval",
    "event:received": "received, and not applied yet",
    "event:failed": "failed, and tried again",
    "event:dead": "given up: look at them",
    "chip:failed": "tried again",
    "chip:dead": "given up",
    "past_due": "renewal unpaid",
    "canceled": "ended",
    "incomplete": "first payment missing",
    "incomplete_expired": "never paid",
    "trialing": "on trial",
    "cancel_now": "cancelled at once",
}


def money(amount: int, currency: str) -> str:
    """Return minor units as a price: ``$49`` or ``$49.50``."""
    symbol = SYMBOLS.get(currency, f"{currency.upper()} ")
    if currency in WITHOUT_CENTS:
        return f"{symbol}{amount:,}"
    whole, cents = divmod(abs(amount), 100)
    sign = "−" if amount < 0 else ""
    return f"{sign}{symbol}{whole:,}" + (f".{cents:02}" if cents else "")


def amount_of(written: str, currency: str) -> int | None:
    """Return the minor units of what somebody wrote: ``10``, ``10.5``, ``$10.50``. None: that is no amount."""
    digits = 0 if currency in WITHOUT_CENTS else 2
    bare = written.strip().removeprefix(SYMBOLS.get(currency, "")).strip()
    if not re.fullmatch(rf"[0-9]{{1,9}}(\.[0-9]{{1,{digits}}})?" if digits else r"[0-9]{1,9}", bare):
        return None
    whole, _, part = bare.partition(".")
    scale: int = 10**digits
    return int(whole) * scale + int((part + "00")[:digits] or 0)


@pass_context
def day(context: Context, at: datetime | None) -> str:
    """Return the day; a dash for none."""
    return format_date(at, context["zone"]) if at is not None else "–"


@pass_context
def clock(context: Context, at: datetime) -> str:
    """Return the time of the day."""
    return f"{at.astimezone(context['zone']):%H:%M}"


@pass_context
def moment(context: Context, at: datetime | None) -> str:
    """Return the day and the time."""
    return f"{format_date(at, context['zone'])}, {at.astimezone(context['zone']):%H:%M}" if at is not None else "–"


@pass_context
def last_day(context: Context, until: datetime) -> str:
    """Return the last day before ``until``, which itself is not included."""
    return format_date(until - timedelta(microseconds=1), context["zone"])


def word(code: str | None) -> str:
    """Return a code in words."""
    return WORDS.get(code or "", (code or "–").rpartition(":")[2].replace("_", " "))


def lower_first(said: str) -> str:
    """Return it as it stands within a sentence."""
    return said[:1].lower() + said[1:]


def untold(said: str) -> str:
    """Return what Stripe told, for a list that says so above it."""
    bare = said.removeprefix("Stripe told us: ")
    return bare[:1].upper() + bare[1:]


def sentence(said: str) -> str:
    """Return it with a capital and a full stop."""
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 issue``, ``2 issues``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ago(passed: timedelta) -> str:
    """Return for how long: ``just now``, ``4 minutes ago``."""
    seconds = int(passed.total_seconds())
    if seconds < 10:
        return "just now"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{counted(seconds // size, name)} ago"
    return f"{seconds} seconds ago"
