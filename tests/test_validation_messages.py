"""Messages about invalid values are ours, not pydantic's."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from app.domain.callers import Role
from app.validation_messages import message


class Body(BaseModel):
    """A body with a required field."""

    model_config = ConfigDict(extra="forbid")
    plan: str


@pytest.mark.parametrize(
    ("wanted", "value", "said"),
    [
        (Body, {}, "is required"),
        (Body, {"plan": "annual", "planet": "x"}, "is not a known field"),
        (Body, {"plan": 3}, "must be text"),
        (Body, [], "must be an object"),
        (bool, "perhaps", "must be true or false"),
        (int, "many", "must be a whole number"),
        (int, 1.5, "must be a whole number"),
        (int, None, "must be a whole number"),
        (float, "many", "must be a number"),
        (list[int], 3, "must be a list"),
        (dict[str, int], 3, "must be an object"),
        (date, "soon", "must be a date such as 2026-03-01"),
        (datetime, "soon", "must be a time such as 2026-03-01T00:00:00Z"),
        (AwareDatetime, "2026-03-01T00:00:00", "must have a time zone, such as 2026-03-01T00:00:00Z"),
        (Literal["digital", "print"], "audio", "must be digital or print"),
        (Role, "king", "must be support, supervisor, circulation, finance, privacy or admin"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[int, Field(le=100)], 101, "must be at most 100"),
        (Annotated[str, StringConstraints(max_length=3)], "four", "must have at most 3 characters"),
        (Annotated[str, StringConstraints(min_length=1)], "", "must have at least 1 character"),
        (Annotated[str, StringConstraints(pattern="^a$")], "b", "has an invalid format"),
        (Annotated[list[int], Field(min_length=1)], [], "must have at least 1 item"),
    ],
)
def test_each_error_has_a_message_of_ours(wanted: Any, value: object, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(wanted).validate_python(value)
    (error,) = raised.value.errors(include_url=False)
    assert message(error["type"], error["msg"], error.get("ctx", {})) == said
