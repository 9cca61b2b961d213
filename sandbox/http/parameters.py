"""Helpers to apply request parameters to objects."""

from sandbox.errors import invalid
from sandbox.json_types import Json, JsonObject

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def assign(obj: JsonObject, params: JsonObject, names: str) -> None:
    """Set the given fields. `names` is separated by spaces; an empty string unsets."""
    for name in names.split():
        if name in params:
            obj[name] = unset(params[name])


def check_length(value: Json, limit: int, *, param: str) -> None:
    """Raise Stripe's 400 for a string that is too long."""
    if isinstance(value, str) and len(value) > limit:
        message = f"Invalid string: {value[:10]}...{value[-4:]}; must be at most {limit} characters"
        raise invalid(message, param=param)


def unset(value: Json) -> Json:
    """Return None for the empty string, which means "unset"; else the value."""
    return None if value == "" else value


def address(value: JsonObject | str | None) -> JsonObject | None:
    """Return an address with all its fields, null where not given."""
    if not isinstance(value, dict):
        return None
    return {line: unset(value.get(line)) for line in _ADDRESS}


def shipping(value: JsonObject | str | None) -> JsonObject | None:
    """Return shipping details of a customer or a charge."""
    if not isinstance(value, dict):
        return None
    details: JsonObject = {"address": address(value.get("address")), "name": value.get("name")}
    details["phone"] = unset(value.get("phone"))
    return details
