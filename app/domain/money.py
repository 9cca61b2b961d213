"""Money is an integer of minor units, beside its currency."""

from dataclasses import dataclass

from app.domain.errors import Invalid

# The number of decimal places of a currency's major unit, as Stripe defines it. Other currencies have two.
_NONE = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_THREE = "bhd jod kwd omr tnd"
DIGITS = dict.fromkeys(_NONE.split(), 0) | dict.fromkeys(_THREE.split(), 3)


class OtherCurrency(Invalid):
    """Amounts in different currencies can't be compared or added."""

    code = "other_currency"
    title = "Currency mismatch"


@dataclass(frozen=True, slots=True)
class Money:
    """``amount`` minor units of ``currency`` (ISO 4217, in lower case, as Stripe writes it)."""

    amount: int
    currency: str

    def __str__(self) -> str:
        """Return the amount for people, as in ``49.00 USD``."""
        digits = DIGITS.get(self.currency, 2)
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
