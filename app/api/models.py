"""What the bodies of requests and answers share: the base class, money, times and dates."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.api.listed_values import AccessReasonText
from app.domain.entitlements import OPEN_ENDED, OtherAccess
from app.domain.money import Money
from app.domain.text import is_storable
from app.localization import Localization


class ApiModel(BaseModel):
    """A request or answer body. Its example in the OpenAPI document is composed of the examples of its fields."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the example to the schema."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        return {**schema, "examples": [cls.example()]}

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Return an example: each field's own, or for a nested model that model's."""
        fields = {field.serialization_alias or name: field for name, field in cls.model_fields.items()}
        found = {name: next(_examples(field), _MISSING) for name, field in fields.items()}
        return {name: value for name, value in found.items() if value is not _MISSING}


_MISSING = object()


def _examples(field: FieldInfo) -> Iterator[object]:
    """Yield possible examples of a field, the best first: its own, one made of its type, its default."""
    yield from field.examples or ()
    yield from _examples_of(field.annotation)
    if not field.is_required():
        yield field.get_default(call_default_factory=True)


def _examples_of(annotation: object) -> Iterator[object]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation.example()
    elif get_origin(annotation) in (list, tuple):
        yield from ([example] for example in _examples_of(get_args(annotation)[0]))
    elif get_origin(annotation) is Literal:
        yield get_args(annotation)[0]
    else:
        for part in get_args(annotation):
            yield from _examples_of(part)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("contains a character that cannot be stored")
    return text


STORABLE = AfterValidator(_storable)  # for texts that come from outside and may reach the database
Word = Annotated[str, StringConstraints(min_length=1, max_length=255), STORABLE]


def _date_text(day: object) -> object:
    if not isinstance(day, str) or len(day) != 10:  # pydantic would accept seconds, or a time
        raise ValueError("must be a date such as 2026-03-01")
    return day


def _time_text(moment: object) -> object:
    if not isinstance(moment, str) or "-" not in moment:  # pydantic would accept a number of seconds
        raise ValueError("must be a time such as 2026-03-01T00:00:00Z")
    return moment


FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC)


def _in_utc(moment: datetime) -> datetime:
    """Return a time in UTC. One too far in the past or in the future to exist in each time zone becomes the nearest."""
    naive = moment.replace(tzinfo=UTC)  # can be compared, although it may not exist in UTC
    if not FIRST_MOMENT + timedelta(days=1) < naive < OPEN_ENDED - timedelta(days=1):
        return FIRST_MOMENT if naive.year == 1 else OPEN_ENDED
    return moment.astimezone(UTC)


Moment = Annotated[
    AwareDatetime, BeforeValidator(_time_text, json_schema_input_type=AwareDatetime), AfterValidator(_in_utc)
]
Day = Annotated[date, BeforeValidator(_date_text, json_schema_input_type=date)]


class MoneyOut(ApiModel):
    """An amount of money: 4900 usd is 49.00 US dollars."""

    model_config = ConfigDict(from_attributes=True)

    amount: int = Field(
        description="Amount in minor units of the currency, such as cents or whole yen.", examples=[4900]
    )
    currency: str = Field(description="ISO 4217 code in lowercase.", min_length=3, max_length=3, examples=["usd"])

    @classmethod
    def of(cls, money: Money) -> Self:
        """Return the amount as a body shows it."""
        return cls(amount=money.amount, currency=money.currency)


class PriceOut(MoneyOut):
    """An amount of money, and how people write it."""

    formatted: str = Field(
        description="For people, in the publisher's locale or that of the parameter `locale`.", examples=["$49"]
    )

    @classmethod
    def text(cls, amount: int, currency: str, localization: Localization) -> Self:
        """Return the amount as a body shows it to people."""
        return cls(amount=amount, currency=currency, formatted=localization.money(amount, currency))


class OtherAccessOut(ApiModel):
    """
    Access from another source than the subscription, such as complimentary access, and when the last of it ends.

    ``until`` is null while no end is known, for example while a payment is processing.
    """

    model_config = ConfigDict(from_attributes=True)

    features: list[str] = Field(examples=[["archive", "digital_edition"]])
    until: datetime | None = Field(examples=["2026-06-01T18:00:00Z"])
    reason: AccessReasonText = Field(examples=["comp"])

    @classmethod
    def of(cls, access: OtherAccess | None) -> Self | None:
        """Return the body, or None if there is no other access."""
        return cls.model_validate(access) if access is not None else None
