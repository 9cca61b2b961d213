"""Small steps that most resources take with their parameters."""

from sandbox.json_types import Json, JsonObject

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def assign(thing: JsonObject, params: JsonObject, names: str) -> None:
    """Set the fields that were given, by names separated by blanks; an empty string unsets."""
    for name in names.split():
        if name in params:
            thing[name] = unset(params[name])


def unset(value: Json) -> Json:
    """Return None for the empty string that means "unset", else the value."""
    return None if value == "" else value


def address(given: JsonObject | str | None) -> JsonObject | None:
    """Return an address with all its lines, null where nothing was given."""
    if not isinstance(given, dict):
        return None
    return {line: unset(given.get(line)) for line in _ADDRESS}


def shipping(given: JsonObject | str | None) -> JsonObject | None:
    """Return shipping details, name and address, as a customer or a charge has them."""
    if not isinstance(given, dict):
        return None
    details: JsonObject = {"address": address(given.get("address")), "name": given.get("name")}
    details["phone"] = unset(given.get("phone"))
    return details
