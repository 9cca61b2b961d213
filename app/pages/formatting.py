"""Amounts, dates, counts and sentences as the pages show them."""

from collections.abc import Callable
from datetime import date as CalendarDate
from datetime import datetime, timedelta
from typing import cast

from jinja2 import pass_context
from jinja2.runtime import Context

from app.localization import Localization


@pass_context
def money(context: Context, amount: int, currency: str) -> str:
    """Return an amount in minor units as a price: ``$49`` or ``$49.50``."""
    return _localization(context).money(amount, currency)


@pass_context
def date(context: Context, at: datetime | None) -> str:
    """Return the date: ``March 3, 2027``. None is a dash."""
    return _localization(context).date(at) if at is not None else "–"


@pass_context
def day(context: Context, value: CalendarDate) -> str:
    """Return a day of the publisher's calendar: ``March 3, 2027``."""
    return _localization(context).day(value)


@pass_context
def month_and_year(context: Context, value: CalendarDate) -> str:
    """Return the month of a day: ``March 2027``."""
    return _localization(context).month_and_year(value)


@pass_context
def time_of_day(context: Context, at: datetime) -> str:
    """Return the time of day: ``2:05 PM``."""
    return _localization(context).time_of_day(at)


@pass_context
def time_with_zone(context: Context, at: datetime) -> str:
    """Return the time of day and its zone: ``2:05 PM CST``."""
    return _localization(context).time_with_zone(at)


@pass_context
def date_and_time(context: Context, at: datetime | None) -> str:
    """Return the date, the time and its zone: ``Mar 3, 2027, 2:05 PM CST``. None is a dash."""
    return _localization(context).date_and_time(at) if at is not None else "–"


@pass_context
def last_day(context: Context, until: datetime) -> str:
    """Return the last day before ``until``, which is exclusive."""
    return _localization(context).last_day(until)


@pass_context
def number(context: Context, value: int) -> str:
    """Return a number with thousands separators."""
    return _localization(context).number(value)


def _localization(context: Context) -> Localization:
    return cast("Localization", context["localization"])


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


FILTERS: dict[str, Callable[..., str]] = {
    "money": money,
    "number": number,
    "time": time_of_day,
    "time_with_zone": time_with_zone,
    "date": date,
    "day": day,
    "month_and_year": month_and_year,
    "last_day": last_day,
    "datetime": date_and_time,
    "upper_first": upper_first,
    "lower_first": lower_first,
    "sentence": sentence,
    "counted": counted,
    "ago": ago,
}
