"""
CLDR counts some currencies with other decimals than Stripe, so it is never asked for them.

CLDR describes how people write amounts, Stripe how a request does: a wrong exponent is a factor of 10 to 1000. The table
lists every difference, and the test fails when either side changes.
"""

import pytest
from babel.numbers import get_currency_precision

from app.domain import money

DIFFERENCES = {  # currency: (Stripe's decimals, CLDR's)
    "afn": (2, 0),
    "all": (2, 0),
    "cop": (2, 0),
    "huf": (2, 0),
    "idr": (2, 0),
    "isk": (2, 0),
    "lak": (2, 0),
    "lbp": (2, 0),
    "mmk": (2, 0),
    "sos": (2, 0),
    "std": (2, 0),
    "ugx": (2, 0),
    "yer": (2, 0),
}


def test_every_difference_between_stripes_and_cldrs_decimals_is_listed() -> None:
    found = {
        currency: (money.exponent(currency), get_currency_precision(currency.upper()))
        for currency in sorted(money.SUPPORTED)
        if money.exponent(currency) != get_currency_precision(currency.upper())
    }
    assert found == DIFFERENCES


@pytest.mark.parametrize("currency", ["huf", "cop", "idr", "isk", "ugx"])
def test_amounts_of_currencies_that_differ_keep_their_hundredths(currency: str) -> None:
    assert str(money.Money(12_345_600, currency)) == f"123456.00 {currency.upper()}"
