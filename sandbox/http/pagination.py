"""Pagination, newest first: `limit`, `starting_after`, `ending_before`."""

from sandbox.errors import invalid, missing
from sandbox.json_types import JsonObject

_DEFAULT, _MOST = 10, 100


def page(items: list[JsonObject], params: JsonObject) -> tuple[list[JsonObject], bool]:
    """
    Return the requested page, and whether there are more items in its direction.

    :raises StripeError: 400 for a limit out of range, two cursors, or a cursor that is not in the list.
    """
    limit = params.get("limit", _DEFAULT)
    if not 1 <= limit <= _MOST:
        bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
        raise invalid(f"Invalid integer: {limit} must be {bound}", param="limit", code="parameter_invalid_integer")
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        message = "You can't specify both `starting_after` and `ending_before`."
        raise invalid(message, param="ending_before", code="parameters_exclusive")
    if before:
        end = _position(items, before, "ending_before")
        start = max(0, end - limit)
        return items[start:end], start > 0
    start = _position(items, after, "starting_after") + 1 if after else 0
    return items[start : start + limit], len(items) > start + limit


def _position(items: list[JsonObject], cursor: str, param: str) -> int:
    for index, item in enumerate(items):
        if item["id"] == cursor:
            return index
    raise missing("object", cursor, param=param, status=400)


def in_range(value: int, wanted: int | JsonObject | None) -> bool:
    """Return whether a time matches a `created` filter: a time, or `gt`, `gte`, `lt` and `lte`. None matches all."""
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return value == wanted
    return bool(
        value > wanted.get("gt", value - 1)
        and value >= wanted.get("gte", value)
        and value < wanted.get("lt", value + 1)
        and value <= wanted.get("lte", value)
    )


MAX_EMBEDDED_LINES = 10  # lines included in an invoice, as at Stripe; the others are listed


def truncate_lines(body: JsonObject) -> None:
    """Truncate the lines of an invoice, or of each invoice in a list, and set `has_more`."""
    for item in body["data"] if body.get("object") == "list" else [body]:
        lines = item.get("lines") if item.get("object") == "invoice" else None  # a deleted invoice has no lines
        if lines and len(lines["data"]) > MAX_EMBEDDED_LINES:
            item["lines"] = {**lines, "data": lines["data"][:MAX_EMBEDDED_LINES], "has_more": True}
