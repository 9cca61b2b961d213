"""
Money is an integer of minor units, beside its currency.

How a currency is counted and what can be charged in it is Stripe's: https://docs.stripe.com/currencies. ISO 4217 and CLDR
differ from it (CLDR counts HUF, COP and IDR without decimals, Stripe with two), so no library is asked for a currency's
decimals.
"""

from dataclasses import dataclass

from app.domain.errors import Invalid

_ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMAL = "bhd jod kwd omr tnd"  # the last digit of an amount must be 0
_WHOLE_UNITS = "isk ugx"  # no minor units, but counted in hundredths, in steps of 100
_SUPPORTED = (
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf "
    "clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils "
    "inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk "
    "mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp "
    "sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw"
)
ZERO_DECIMAL = frozenset(_ZERO_DECIMAL.split())
THREE_DECIMAL = frozenset(_THREE_DECIMAL.split())
WHOLE_UNITS = frozenset(_WHOLE_UNITS.split())
SUPPORTED = frozenset(_SUPPORTED.split())
# The smallest and the largest charge, in minor units. Other currencies have no documented minimum.
_MINIMUM = {
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "jpy": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
}
_MAXIMUM = {"cop": 999_999_999_999, "idr": 999_999_999_999, "inr": 999_999_999, "lbp": 9_999_999_999}


class OtherCurrency(Invalid):
    """Amounts in different currencies can't be compared or added."""

    code = "other_currency"
    title = "Currency mismatch"


class InvalidAmount(Invalid):
    """Stripe can't pay this amount, because the currency has no such fractions."""

    code = "invalid_amount"
    title = "Invalid amount"


@dataclass(frozen=True, slots=True)
class Money:
    """``amount`` minor units of ``currency`` (ISO 4217, in lower case, as Stripe writes it)."""

    amount: int
    currency: str

    def __str__(self) -> str:
        """Return the amount for people, as in ``49.00 USD``."""
        digits = exponent(self.currency)
        whole, part = divmod(abs(self.amount), 10**digits)
        sign = "-" if self.amount < 0 else ""
        return f"{sign}{whole}{f'.{part:0{digits}}' if digits else ''} {self.currency.upper()}"

    def same_as(self, other: "Money") -> bool:
        """
        Return whether both amounts are equal.

        :raises OtherCurrency: the currencies differ.
        """
        if self.currency != other.currency:
            raise OtherCurrency(f"Expected an amount in {self.currency}, not {other.currency}")
        return self.amount == other.amount

    def check_step(self) -> None:
        """
        Check that the currency has such an amount.

        :raises InvalidAmount: it doesn't.
        """
        by = step(self.currency)
        if self.amount % by:
            raise InvalidAmount(f"An amount in {self.currency.upper()} must be a multiple of {by} minor units", step=by)


def exponent(currency: str) -> int:
    """Return the number of decimals of an amount in minor units."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def step(currency: str) -> int:
    """Return the number of minor units of which every amount must be a multiple."""
    return 100 if currency in WHOLE_UNITS else 10 if currency in THREE_DECIMAL else 1


def minimum(currency: str) -> int:
    """Return the smallest amount that can be charged, in minor units."""
    return _MINIMUM.get(currency, 1)


def maximum(currency: str) -> int:
    """Return the largest amount that can be charged, in minor units."""
    return _MAXIMUM.get(currency, 99_999_999)
