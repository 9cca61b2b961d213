"""Money is an integer of minor units, beside its currency."""

from dataclasses import dataclass

from app.domain.errors import DomainError


class OtherCurrency(DomainError):
    """Amounts of two currencies cannot be compared or added."""

    code = "other_currency"


@dataclass(frozen=True, slots=True)
class Money:
    """``amount`` minor units of ``currency`` (ISO 4217, in lower case, as Stripe writes it)."""

    amount: int
    currency: str

    def same_as(self, other: "Money") -> bool:
        """
        Tell whether both are the same sum.

        :raises OtherCurrency: if they cannot be compared.
        """
        if self.currency != other.currency:
            raise OtherCurrency(f"{other.currency} was given where {self.currency} is meant")
        return self.amount == other.amount
