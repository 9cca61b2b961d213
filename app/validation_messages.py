"""What we say about an invalid setting or field, instead of pydantic's own messages."""

import re
from collections.abc import Mapping
from datetime import timedelta

from pydantic import TypeAdapter

NOT_A_DURATION = "must be a duration with its unit, such as P14D or PT20S"
_BOOLEAN, _NUMBER, _INTEGER = "must be true or false", "must be a number", "must be a whole number"
_DATE, _TIME = "must be a date such as 2026-03-01", "must be a time such as 2026-03-01T00:00:00Z"
_TIME_OF_DAY, _LIST, _OBJECT = "must be a time of day such as 03:30", "must be a list", "must be an object"
_ORIGIN = re.compile(
    r"(http(?!:.*:80$)|https(?!:.*:443$))://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?"
)
# What pydantic calls an error, and what we say. {} is the bound.
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be text",
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "int_parsing": _INTEGER,
    "int_type": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": "is too large",
    "time_delta_parsing": NOT_A_DURATION,
    "time_delta_type": NOT_A_DURATION,
    "time_parsing": _TIME_OF_DAY,
    "time_type": _TIME_OF_DAY,
    "date_parsing": _DATE,
    "date_type": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
    "datetime_parsing": _TIME,
    "datetime_type": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": "must have a time zone, such as 2026-03-01T00:00:00Z",
    "literal_error": "must be {}",
    "enum": "must be {}",
    "greater_than": "must be more than {}",
    "greater_than_equal": "must be at least {}",
    "less_than": "must be less than {}",
    "less_than_equal": "must be at most {}",
    "string_too_long": "must have at most {} characters",
    "string_too_short": "must have at least {} characters",
    "string_pattern_mismatch": "has an invalid format",
    "string_unicode": "must be text in UTF-8",
    "too_long": "must have at most {} items",
    "too_short": "must have at least {} items",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
}
_BOUNDS = ("expected", "gt", "ge", "lt", "le", "max_length", "min_length")


def message(kind: str, text: str, context: Mapping[str, object]) -> str:
    """
    Return what is wrong with a value, to be read after its name.

    :param kind: pydantic's name of the error; ``text`` and ``context`` are its message and its facts.
    """
    if kind == "value_error":  # raised by a validator of ours
        return text.removeprefix("Value error, ")
    bound = next((context[name] for name in _BOUNDS if name in context), "")
    if isinstance(bound, timedelta):
        bound = TypeAdapter(timedelta).dump_python(bound, mode="json")
    words = _MESSAGES.get(kind, "is invalid").format(str(bound).replace("'", ""))
    is_single = words.endswith((" 1 characters", " 1 items"))
    return words[:-1] if is_single else words


def exact_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept origins as browsers send them: in lowercase, without a path, a wildcard or the default port (RFC 6454)."""
    if not all(_ORIGIN.fullmatch(origin) for origin in value):
        raise ValueError("each must be an origin such as https://www.example.com, without a path or default port")
    return value
