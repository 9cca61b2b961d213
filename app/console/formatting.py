"""Amounts, dates, counts and sentences as the pages show them."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jinja2 import pass_context
from jinja2.runtime import Context

from app.domain.money import exponent
from app.domain.text import format_date

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}


def money(amount: int, currency: str) -> str:
    """Return an amount in minor units as a price: ``$49`` or ``$49.50``."""
    digits = exponent(currency)
    whole, part = divmod(abs(amount), 10**digits)
    sign, symbol = "−" if amount < 0 else "", SYMBOLS.get(currency, f"{currency.upper()} ")
    return f"{sign}{symbol}{whole:,}" + (f".{part:0{digits}}" if part else "")


def parse_amount(text: str, currency: str) -> int | None:
    """Return an amount that was typed, such as ``10``, ``10.5`` or ``$10.50``, in minor units. None: it is invalid."""
    digits = exponent(currency)
    bare = text.strip().removeprefix(SYMBOLS.get(currency, currency.upper())).strip()
    if not re.fullmatch(rf"[0-9]{{1,12}}(\.[0-9]{{1,{digits}}})?" if digits else r"[0-9]{1,12}", bare):
        return None
    whole, _, fraction = bare.partition(".")
    return int(whole + fraction.ljust(digits, "0"))


def format_time(at: datetime, zone: ZoneInfo) -> str:
    """Return the time of day in the publisher's time zone: ``2:05 PM``."""
    local = at.astimezone(zone)
    return f"{local:%I:%M %p}".lstrip("0")


@pass_context
def date(context: Context, at: datetime | None) -> str:
    """Return the date. None is a dash."""
    return format_date(at, context["zone"]) if at is not None else "–"


@pass_context
def time_of_day(context: Context, at: datetime) -> str:
    """Return the time of day."""
    return format_time(at, context["zone"])


@pass_context
def date_and_time(context: Context, at: datetime | None) -> str:
    """Return the date, abbreviated, and the time: ``Mar 3, 2027, 2:05 PM``. None is a dash."""
    if at is None:
        return "–"
    local = at.astimezone(context["zone"])
    return f"{local:%b} {local.day}, {local.year}, {format_time(at, context['zone'])}"


@pass_context
def last_day(context: Context, until: datetime) -> str:
    """Return the last day before ``until``, which is exclusive."""
    return format_date(until - timedelta(microseconds=1), context["zone"])


def number(value: int) -> str:
    """Return a number with thousands separators."""
    return f"{value:,}"


def counted(value: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 issue``, ``2 issues``."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def ago(age: timedelta) -> str:
    """Return an age: ``just now``, ``4 minutes ago``."""
    seconds = int(age.total_seconds())
    if seconds < 10:
        return "just now"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{counted(seconds // size, unit)} ago"
    return f"{seconds} seconds ago"


def upper_first(text: str) -> str:
    """Return a text that begins a line."""
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    """Return a text that continues a sentence. The name Stripe keeps its capital."""
    return text if text.startswith("Stripe") else text[:1].lower() + text[1:]


def sentence(text: str) -> str:
    """Return a text with a capital letter and a period."""
    return upper_first(text) + ("" if text.endswith((".", "!", "?")) else ".")
