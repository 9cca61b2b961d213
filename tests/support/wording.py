"""Dates and amounts in sentences, as an American publisher's staff read them."""

from zoneinfo import ZoneInfo

from babel import Locale

from app.localization import Localization


def american(zone: str = "UTC") -> Localization:
    """Return the wording of an American publisher."""
    return Localization(Locale.parse("en_US"), ZoneInfo(zone))
