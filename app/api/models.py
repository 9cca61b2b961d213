"""Shapes that several answers share."""

from datetime import date
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from app.domain.money import Money
from app.domain.text import is_storable


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("holds a character that cannot be kept")
    return text


STORABLE = AfterValidator(_storable)  # for texts that come from outside and may reach the database


def _written(day: object) -> object:
    if not isinstance(day, str) or len(day) != 10:  # pydantic would take a number for seconds, and a time for its day
        raise ValueError("must be a day, such as 2026-03-01")
    return day


def _with_a_day(moment: object) -> object:
    if not isinstance(moment, str) or "-" not in moment:  # or a number would be taken for seconds
        raise ValueError("must be a time, such as 2026-03-01T00:00:00Z")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_with_a_day, json_schema_input_type=AwareDatetime)]
Day = Annotated[date, BeforeValidator(_written, json_schema_input_type=date)]


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
