"""Currencies are counted as Stripe counts them, in one table of ours and equal tables of the sandbox and the demo."""

import pytest

from app.domain import money
from app.domain.money import InvalidAmount, Money
from demo.magazine import formatting
from sandbox.billing import currencies


@pytest.mark.parametrize("currency", sorted(money.SUPPORTED))
def test_all_tables_of_currencies_are_equal(currency: str) -> None:
    assert money.exponent(currency) == currencies.exponent(currency) == formatting.DECIMALS.get(currency, 2)
    assert money.minimum(currency) == currencies.minimum(currency)
    assert money.maximum(currency) == currencies.maximum(currency)


def test_the_same_currencies_are_special_everywhere() -> None:
    assert money.SUPPORTED == currencies.SUPPORTED
    assert money.WHOLE_UNITS == currencies.WHOLE_UNITS
    assert formatting.DECIMALS.keys() == money.ZERO_DECIMAL | money.THREE_DECIMAL
    assert money.ZERO_DECIMAL | money.THREE_DECIMAL | money.WHOLE_UNITS <= money.SUPPORTED


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        pytest.param(4900, "usd", "49.00 USD", id="cents"),
        pytest.param(-4905, "usd", "-49.05 USD", id="negative"),
        pytest.param(4900, "jpy", "4900 JPY", id="no minor units"),
        pytest.param(10_500, "kwd", "10.500 KWD", id="thousandths"),
        pytest.param(50_000, "ugx", "500.00 UGX", id="UGX is counted in hundredths"),
        pytest.param(50_000, "huf", "500.00 HUF", id="HUF is counted in hundredths"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert str(Money(amount, currency)) == text


@pytest.mark.parametrize(
    ("amount", "currency", "step"),
    [
        (4901, "usd", 1),
        (4901, "jpy", 1),
        (4900, "isk", 100),
        (4950, "isk", 100),
        (10_500, "kwd", 10),
        (10_505, "kwd", 10),
    ],
)
def test_an_amount_must_be_a_multiple_of_the_currencys_step(amount: int, currency: str, step: int) -> None:
    assert money.step(currency) == step
    if amount % step:
        with pytest.raises(InvalidAmount, match=f"{currency.upper()} must be a multiple of {step}"):
            Money(amount, currency).check_step()
    else:
        Money(amount, currency).check_step()
