"""Shapes that several answers share."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.domain.money import Money


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
