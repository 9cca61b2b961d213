"""
Stripe's currencies: which it supports, how they are counted, and the smallest and largest charge.

(https://docs.stripe.com/currencies)
"""

from sandbox.errors import invalid

_SUPPORTED = (
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf "
    "chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf "
    "idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop "
    "mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd "
    "scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg "
    "xof xpf yer zar zmw"
)
SUPPORTED = frozenset(_SUPPORTED.split())
ZERO_DECIMAL = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf")
)
"""Currencies without minor units."""
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
"""Currencies with thousandths. The last digit of an amount must be 0."""
WHOLE_UNITS = frozenset({"isk", "ugx"})
"""Currencies without minor units whose amounts are given in hundredths, in steps of 100."""

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
_MAXIMUM = {"cop": 10**12 - 1, "idr": 10**12 - 1, "inr": 10**9 - 1, "lbp": 10**10 - 1}
_DEFAULT_MAXIMUM = 10**8 - 1


def minimum(currency: str) -> int:
    """Return the smallest amount that can be charged, in minor units; 1 where Stripe documents none."""
    return _MINIMUM.get(currency, 1)


def maximum(currency: str) -> int:
    """Return the largest amount that can be charged, in minor units."""
    return _MAXIMUM.get(currency, _DEFAULT_MAXIMUM)


def exponent(currency: str) -> int:
    """Return the number of decimals of an amount in minor units."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def check(currency: str, *, param: str = "currency") -> str:
    """
    Return a currency in lower case.

    :raises StripeError: 400 if Stripe does not support it.
    """
    code = currency.lower()
    if code not in SUPPORTED:
        supported = ", ".join(sorted(SUPPORTED))
        raise invalid(f"Invalid currency: {code}. Stripe currently supports these currencies: {supported}", param=param)
    return code


def check_amount(amount: int, currency: str, *, param: str) -> None:
    """Raise Stripe's 400 if an amount is too large, or has decimals that the currency does not have."""
    if abs(amount) > maximum(currency):
        message = f"Amount must be no more than {display(maximum(currency), currency)} {currency}"
        raise invalid(message, param=param, code="amount_too_large")
    if currency in WHOLE_UNITS and amount % 100:
        message = f"Invalid amount: {currency} amounts must be divisible by 100, because {currency} has no decimals."
        raise invalid(message, param=param)
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(f"Invalid amount: the last digit of an amount in {currency} must be 0.", param=param)


def display(amount: int, currency: str) -> str:
    """Return an amount in major units, such as `0.50`."""
    decimals = exponent(currency)
    return f"{amount / 10**decimals:,.{decimals}f}"
