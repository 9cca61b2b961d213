"""Amounts, dates and editions as text for the pages."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "cad": "CA$", "aud": "A$"}
# How many decimals the minor units of a currency are, as Stripe counts them: two, but for these.
# (https://docs.stripe.com/currencies#minor-units)
_NO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMALS = "bhd jod kwd omr tnd"
DECIMALS = dict.fromkeys(_NO_DECIMALS.split(), 0) | dict.fromkeys(_THREE_DECIMALS.split(), 3)


def money(amount: dict[str, Any] | None) -> str:
    """Return an amount as a price: `$49` or `$49.50`."""
    if not amount or amount.get("amount") is None:
        return ""
    minor, currency = int(amount["amount"]), str(amount.get("currency", "")).lower()
    symbol = SYMBOLS.get(currency, f"{currency.upper()} ")
    decimals = DECIMALS.get(currency, 2)
    whole, part = divmod(minor, 10**decimals)
    return f"{symbol}{whole:,}.{part:0{decimals}}" if part else f"{symbol}{whole:,}"


def date(timestamp: str | None, timezone: str) -> str:
    """Return the date of a timestamp in the publisher's time zone: `March 3, 2027`."""
    if not timestamp:
        return ""
    local = datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone(ZoneInfo(timezone))
    return f"{local:%B} {local.day}, {local.year}"


def last_day(timestamp: str | None, timezone: str) -> str:
    """Return the last full day before a timestamp: an offer that ends at midnight is valid until the day before."""
    if not timestamp:
        return ""
    before = datetime.fromisoformat(timestamp.replace("Z", "+00:00")) - timedelta(seconds=1)
    return date(before.isoformat(), timezone)


def editions(names: list[str] | None) -> str:
    """Return a subscription's editions: `Digital and print`."""
    return " and ".join(names or ["digital"]).capitalize()


def sentence(text: str) -> str:
    """Return a text with a capital letter and a final period."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
