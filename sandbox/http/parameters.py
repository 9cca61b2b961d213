"""Small steps that most resources take with their parameters."""

from sandbox.json_types import Json, JsonObject

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def assign(obj: JsonObject, params: JsonObject, names: str) -> None:
    """Set the fields that were given, by names separated by blanks; an empty string unsets."""
    for name in names.split():
        if name in params:
            obj[name] = unset(params[name])


def unset(value: Json) -> Json:
    """Return None for the empty string that means "unset", else the value."""
    return None if value == "" else value


def address(value: JsonObject | str | None) -> JsonObject | None:
    """Return an address with all its lines, null where nothing was given."""
    if not isinstance(value, dict):
        return None
    return {line: unset(value.get(line)) for line in _ADDRESS}


def shipping(value: JsonObject | str | None) -> JsonObject | None:
    """Return shipping details, name and address, as a customer or a charge has them."""
    if not isinstance(value, dict):
        return None
    details: JsonObject = {"address": address(value.get("address")), "name": value.get("name")}
    details["phone"] = unset(value.get("phone"))
    return details
