"""
Amounts, numbers and dates as the publisher's readers and staff write them.

The formats are CLDR's, by Babel. How many decimals a currency has is Stripe's (:mod:`app.domain.money`): CLDR differs.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from datetime import date as CalendarDate
from decimal import Decimal
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers

from app.domain.money import exponent

MAX_DIGITS = 12  # of an amount that is typed


@dataclass(frozen=True)
class Localization:
    """A publisher's locale (such as ``en_US``) and time zone."""

    locale: Locale
    zone: ZoneInfo

    def money(self, amount: int, currency: str) -> str:
        """Return an amount in minor units as a price: ``$49`` or ``$49.50``."""
        return _money(amount, currency, self._name)

    def parse_amount(self, text: str, currency: str) -> int | None:
        """
        Return an amount that was typed, such as ``1,000.00``, ``1000`` or ``$10``, in minor units.

        :returns: ``None`` if it is no amount, is negative, or has more decimals than the currency.
        """
        decimals = exponent(currency)
        bare, symbols = re.sub(r"\s+", " ", _DIRECTION_MARKS.sub("", text)).strip(), self._symbols(currency.upper())
        bare = self._grouped(_without_symbol(_without_symbol(bare, symbols), symbols))  # both: $10 USD
        bare = f"0{bare}" if bare.startswith(self._point) and bare != self._point else bare
        if not re.fullmatch(rf"[0-9][0-9{re.escape(self._group + self._point)}]{{0,24}}", bare):
            return None
        try:
            value = numbers.parse_decimal(bare, locale=self.locale, strict=True)
        except numbers.NumberFormatError:
            return None
        minor = value.scaleb(decimals)
        if minor != minor.to_integral_value() or minor >= Decimal(10) ** (MAX_DIGITS + decimals):
            return None
        return int(minor)

    def parse_number(self, text: str) -> int | None:
        """Return a whole number that was typed, such as ``1,000`` or ``1000``. None: it is none, or is negative."""
        bare = self._grouped(text.strip())
        if not re.fullmatch(rf"[0-9][0-9{re.escape(self._group)}]{{0,24}}", bare):
            return None
        try:
            value = numbers.parse_decimal(bare, locale=self.locale, strict=True)
        except numbers.NumberFormatError:
            return None
        return int(value) if value == value.to_integral_value() and value < Decimal(10) ** MAX_DIGITS else None

    def parse_day(self, text: str) -> date | None:
        """Return a date that was typed, as ``2027-03-01`` or in the locale's order, such as ``3/1/2027``."""
        bare = text.strip()
        if not re.fullmatch(r"[0-9]{1,4}([-/. ]+[0-9]{1,4}){2}\.?", bare, flags=re.ASCII):
            return None
        try:
            return dates.parse_date(bare, locale=self.locale)
        except (ValueError, IndexError):
            return None

    def number(self, value: int) -> str:
        """Return a number with the locale's thousands separators."""
        return numbers.format_decimal(value, locale=self.locale)

    def date(self, at: datetime) -> str:
        """Return the date in the publisher's time zone: ``March 3, 2027``."""
        return self.day(at.astimezone(self.zone).date())

    def day(self, day: CalendarDate) -> str:
        """Return a day of the publisher's calendar: ``March 3, 2027``."""
        return _day(day, self._name)

    def month(self, day: CalendarDate) -> str:
        """Return the name of the month of a day: ``March``."""
        return dates.format_date(day, "LLLL", locale=self.locale)

    def month_and_year(self, day: CalendarDate, *, short: bool = False) -> str:
        """Return the month of a day with its year: ``March 2027``, or ``Mar 2027``."""
        return dates.format_skeleton("yMMM" if short else "yMMMM", day, locale=self.locale)

    def country(self, code: str) -> str:
        """Return the name of a country by its ISO 3166 code: ``United States``."""
        return str(self.locale.territories.get(code, code))

    def last_day(self, until: datetime) -> str:
        """Return the last day before ``until``, which is exclusive."""
        return self.date(until - timedelta(microseconds=1))

    def time_of_day(self, at: datetime) -> str:
        """Return the time in the publisher's time zone: ``2:05 PM``."""
        return _time(at.astimezone(self.zone).time().replace(second=0, microsecond=0), self._name)

    def time_with_zone(self, at: datetime) -> str:
        """Return the time in the publisher's time zone, and the zone: ``2:05 PM CST``."""
        local = at.astimezone(self.zone)
        return f"{_time(local.time().replace(second=0, microsecond=0), self._name)} {local.tzname() or ''}"

    def date_and_time(self, at: datetime) -> str:
        """Return the date, abbreviated, the time and its zone: ``Mar 3, 2027, 2:05 PM CST``."""
        local = at.astimezone(self.zone)
        day = dates.format_date(local.date(), "medium", locale=self.locale)
        pattern = str(dates.get_datetime_format("medium", locale=self.locale))
        return f"{pattern.replace('{0}', self.time_of_day(at)).replace('{1}', day)} {self.zone_name(at)}".replace(
            "'", ""
        )

    def zone_name(self, at: datetime) -> str:
        """Return the abbreviation of the time zone at that time: ``CST``, or ``CDT`` in summer."""
        return at.astimezone(self.zone).tzname() or ""

    def _symbols(self, code: str) -> set[str]:
        """Return what people write beside an amount in a currency: ``USD``, ``$``, ``US$``."""
        return {
            code,
            *(_plain(numbers.get_currency_symbol(code, locale)) for locale in (self.locale, "en_US", "en_CA")),
        }

    def _grouped(self, amount: str) -> str:
        """Return a typed amount with CLDR's separator of thousands, where people type a plain space or apostrophe."""
        if self._group.isspace():
            return re.sub(r" (?=\d)", self._group, amount)
        return re.sub("['’]", self._group, amount) if self._group in "'’" else amount

    @cached_property
    def _group(self) -> str:
        return numbers.get_group_symbol(self.locale)

    @cached_property
    def _point(self) -> str:
        return numbers.get_decimal_symbol(self.locale)

    @cached_property
    def _name(self) -> str:
        """The locale as a key of the caches: it is compared a hundred times faster."""
        return str(self.locale)


def parse_locale(name: str) -> Locale:
    """
    Return the locale of a name such as ``en_US`` or ``de-AT``.

    :raises ValueError: the locale is unknown.
    """
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError) as unknown:
        raise ValueError("must be a locale, such as en_US or de_DE") from unknown


# A page can have hundreds of dates and prices, many of them equal, and Babel takes long for each.
@lru_cache(4096)
def _day(day: date, locale: str) -> str:
    return dates.format_date(day, "long", locale=locale)


@lru_cache(4096)
def _time(at: time, locale: str) -> str:
    return _plain(dates.format_time(at, "short", locale=locale))


@lru_cache(4096)
def _money(amount: int, currency: str, locale: str) -> str:
    decimals = exponent(currency)
    whole = amount % 10**decimals == 0
    pattern = str(Locale.parse(locale).currency_formats["standard"].pattern).split(";")[0]  # such as ¤#,##0.00
    price = numbers.format_currency(
        Decimal(abs(amount)).scaleb(-decimals),
        currency.upper(),
        format=pattern.replace("0.00", "0" if whole else f"0.{'0' * decimals}"),
        locale=locale,
        currency_digits=False,
    )
    price = re.sub(r"(?<=[A-Z])(?=[0-9])", " ", _plain(price))
    return f"−{price}" if amount < 0 else price


_DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f\u2066-\u2069]")  # which amounts in right-to-left languages have


def _without_symbol(amount: str, symbols: set[str]) -> str:
    """Return an amount without the currency before or after it."""
    for symbol in sorted(symbols, key=len, reverse=True):
        mark = re.escape(symbol)
        bare = re.sub(rf"^{mark} ?(?=[\d.,])|(?<=\d) ?{mark}$", "", amount, flags=re.IGNORECASE)
        if bare != amount:
            return bare
    return amount


def _plain(text: str) -> str:
    """Replace CLDR's no-break spaces: text that is copied from a page should contain plain ones."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")
