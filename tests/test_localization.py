"""Prices, typed amounts and dates in the publisher's locale."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from app.domain import money
from app.localization import Localization

ALL = ("en_US", "en_GB", "de_DE", "de_CH", "fr_FR", "sv_SE", "ja_JP", "pt_BR", "pl_PL")
MARCH = datetime(2027, 3, 3, 20, 5, tzinfo=UTC)


def localization(locale: str = "en_US", zone: str = "America/Chicago") -> Localization:
    return Localization(Locale.parse(locale), ZoneInfo(zone))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        pytest.param("10", 1000, id="whole"),
        pytest.param("10.5", 1050, id="one decimal"),
        pytest.param("$10.50", 1050, id="symbol"),
        pytest.param("USD 10", 1000, id="code before"),
        pytest.param("10 usd", 1000, id="code after"),
        pytest.param(" 0.01 ", 1, id="spaces"),
        pytest.param("1,000.00", 100_000, id="thousands"),
        pytest.param("1000", 100_000, id="no separator"),
        pytest.param("1,234,567.89", 123_456_789, id="millions"),
        pytest.param("1,00", None, id="a comma is not a point"),
        pytest.param("1,0000", None, id="misplaced separator"),
        pytest.param("10.505", None, id="too many decimals"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("€10", None, id="another currency"),
        pytest.param("10.", 1000, id="nothing after the point"),
        pytest.param(".5", 50, id="nothing before the point"),
        pytest.param("$.50", 50, id="symbol and nothing before the point"),
        pytest.param("US$10", 1000, id="country and symbol"),
        pytest.param("$10 USD", 1000, id="symbol and code"),
        pytest.param(".", None, id="only a point"),
        pytest.param("1 000", None, id="a space separates nothing here"),
        pytest.param("١", None, id="other digits"),
        pytest.param("9" * 40, None, id="too large"),
        pytest.param("", None, id="empty"),
    ],
)
def test_typed_amounts_are_parsed_to_minor_units(text: str, amount: int | None) -> None:
    assert localization().parse_amount(text, "usd") == amount


@pytest.mark.parametrize(
    ("text", "locale", "amount"),
    [
        ("1.000,00", "de_DE", 100_000),
        ("1000,5", "de_DE", 100_050),
        ("10 €", "de_DE", 1000),
        ("1.000", "de_DE", 100_000),
        ("1.00", "de_DE", None),
        ("1 000,00", "fr_FR", 100_000),
        ("1\u202f000,00", "fr_FR", 100_000),
        ("1.000", "fr_FR", None),
        ("1'000.00", "de_CH", 100_000),
        ("1’000.00", "de_CH", 100_000),
        (",5", "de_DE", 50),
    ],
)
def test_amounts_are_typed_as_the_locale_writes_them(text: str, locale: str, amount: int | None) -> None:
    assert localization(locale).parse_amount(text, "eur") == amount


@pytest.mark.parametrize("locale", ["en_US", "de_CH", "fr_FR", "hi_IN", "he_IL", "ar_EG", "fa_IR", "pl_PL", "sv_SE"])
@pytest.mark.parametrize("currency", ["usd", "eur", "jpy", "ils"])
def test_an_amount_can_be_typed_as_pages_show_it(locale: str, currency: str) -> None:
    assert localization(locale).parse_amount(localization(locale).money(123_456, currency), currency) == 123_456


@pytest.mark.parametrize(
    ("text", "currency", "amount", "shown"),
    [
        pytest.param("10", "kwd", 10_000, "KWD 10", id="dinars have thousandths"),
        pytest.param("KWD 10.5", "kwd", 10_500, "KWD 10.500", id="one decimal of three"),
        pytest.param("10.505", "kwd", 10_505, "KWD 10.505", id="three decimals"),
        pytest.param("10.5051", "kwd", None, None, id="too many decimals"),
        pytest.param("4900", "jpy", 4900, "¥4,900", id="yen have no minor units"),
        pytest.param("4900.5", "jpy", None, None, id="yen with decimals"),
        pytest.param("500", "ugx", 50_000, "UGX 500", id="UGX is counted in hundredths"),
        pytest.param("17500", "huf", 1_750_000, "HUF 17,500", id="HUF is counted in hundredths"),
    ],
)
def test_amounts_are_read_and_shown_as_stripe_counts_them(
    text: str, currency: str, amount: int | None, shown: str | None
) -> None:
    assert localization().parse_amount(text, currency) == amount
    if amount is not None:
        assert localization().money(amount, currency) == shown
        assert localization().money(-amount, currency) == f"−{shown}"


@given(st.integers(0, 10**11), st.sampled_from(sorted(money.SUPPORTED)), st.sampled_from(ALL))
def test_an_amount_that_is_shown_can_be_typed(amount: int, currency: str, locale: str) -> None:
    shown = localization(locale).money(amount, currency)
    assert localization(locale).parse_amount(shown, currency) == amount


@pytest.mark.parametrize(
    ("locale", "date", "date_and_time"),
    [
        ("en_US", "March 3, 2027", "Mar 3, 2027, 2:05 PM CST"),
        ("en_GB", "3 March 2027", "3 Mar 2027, 14:05 CST"),
        ("de_DE", "3. März 2027", "03.03.2027, 14:05 CST"),
    ],
)
def test_dates_are_written_as_the_locale_writes_them(locale: str, date: str, date_and_time: str) -> None:
    assert localization(locale).date(MARCH) == date
    assert localization(locale).date_and_time(MARCH) == date_and_time


def test_times_name_their_zone_in_summer_and_winter() -> None:
    july = datetime(2027, 7, 3, 20, 5, tzinfo=UTC)
    assert localization().date_and_time(july) == "Jul 3, 2027, 3:05 PM CDT"
    assert localization(zone="Europe/Berlin").date_and_time(july) == "Jul 3, 2027, 10:05 PM CEST"


def test_the_last_day_is_the_day_before_an_exclusive_end() -> None:
    assert localization().last_day(datetime(2027, 3, 3, 6, tzinfo=UTC)) == "March 2, 2027"


@pytest.mark.parametrize(
    ("text", "locale", "value"),
    [
        ("1000", "en_US", 1000),
        ("1,000", "en_US", 1000),
        (" 3 ", "en_US", 3),
        ("1.000", "de_DE", 1000),
        ("1 000", "fr_FR", 1000),
        ("1’000", "de_CH", 1000),
        ("1.5", "en_US", None),
        ("10,00", "en_US", None),
        ("-3", "en_US", None),
        ("three", "en_US", None),
        ("٣", "en_US", None),
        ("9" * 30, "en_US", None),
        ("", "en_US", None),
    ],
)
def test_whole_numbers_are_typed_as_the_locale_writes_them(text: str, locale: str, value: int | None) -> None:
    assert localization(locale).parse_number(text) == value


@pytest.mark.parametrize(
    ("text", "locale", "day"),
    [
        ("2027-03-01", "en_US", date(2027, 3, 1)),
        ("2027-03-01", "de_DE", date(2027, 3, 1)),
        ("3/1/2027", "en_US", date(2027, 3, 1)),
        ("01/03/2027", "en_GB", date(2027, 3, 1)),
        ("1.3.2027", "de_DE", date(2027, 3, 1)),
        ("2027-02-30", "en_US", None),
        ("tomorrow", "en_US", None),
        ("3/1", "en_US", None),
        ("", "en_US", None),
    ],
)
def test_days_are_typed_as_the_locale_writes_them(text: str, locale: str, day: date | None) -> None:
    assert localization(locale).parse_day(text) == day
