"""Shapes that several answers share."""

from typing import Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.domain.money import Money
from app.domain.texts import is_storable


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("holds a character that cannot be kept")
    return text


STORABLE = AfterValidator(_storable)  # for texts that come from outside and may reach the database


class MoneyOut(BaseModel):
    """A sum of money: 4900 usd is 49.00 US dollars."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{"amount": 4900, "currency": "usd"}]}
    )

    amount: int = Field(description="Minor units of the currency: cents of a dollar, whole yen.")
    currency: str = Field(description="ISO 4217, in lower case.", min_length=3, max_length=3)

    @classmethod
    def of(cls, money: Money) -> Self:
        """Return the sum as it is written in an answer."""
        return cls(amount=money.amount, currency=money.currency)
