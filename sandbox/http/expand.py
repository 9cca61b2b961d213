"""`expand[]`: replace IDs by their objects, up to four levels deep, and include fields that are otherwise left out."""

from collections.abc import Callable

from sandbox.contract.expansions import can_expand
from sandbox.contract.routes import ContractRoute
from sandbox.errors import invalid
from sandbox.json_types import Json, JsonObject
from sandbox.store.accounts import Account

_MAX_DEPTH = 4

FieldLoader = Callable[[Account, JsonObject], Json]

EXPANDABLE_FIELDS: dict[tuple[str, str], FieldLoader] = {}
"""Fields that are returned only when expanded, by kind and name. Resources register them; objects are already rendered."""

_KINDS = {
    "coupon": "coupon",
    "product": "product",
    "default_price": "price",
    "tax_code": "tax_code",
    "promotion_code": "promotion_code",
}
"""Fields whose IDs can be chosen by the caller, so the ID alone does not identify the kind."""


def check(route: ContractRoute, paths: list[str]) -> None:
    """
    Validate the paths before the request has an effect.

    :raises StripeError: 400 for a path that is too deep or a property that cannot be expanded.
    """
    for path in paths:
        if path.count(".") >= _MAX_DEPTH:
            message = f"You cannot expand more than {_MAX_DEPTH} levels of a property. Property: {path}"
            raise invalid(message, param="expand", code="property_expansion_max_depth")
        if not can_expand(route, path):
            raise _not_expandable(path)


def expand(account: Account, body: JsonObject, paths: list[str]) -> None:
    """
    Expand a response in place.

    :raises StripeError: 400 for a property that Stripe can expand and the sandbox cannot.
    """
    for path in paths:
        _walk(account, body, path.split("."), path)


def _walk(account: Account, node: JsonObject, parts: list[str], path: str) -> None:
    name, rest = parts[0], parts[1:]
    if name not in node:
        includable = EXPANDABLE_FIELDS.get((str(node.get("object")), name))
        if includable is None:
            if node.get("deleted") or node.get("type", name) != name:  # such as a payment of another type
                return
            raise _not_expandable(path)
        node[name] = includable(account, node)
        if not rest:
            return
    value = node[name]
    if value is None:
        return
    if isinstance(value, list):
        node[name] = [_expanded(account, name, item, path, last=not rest) for item in value]
    else:
        node[name] = _expanded(account, name, value, path, last=not rest)
    if rest:
        for item in node[name] if isinstance(node[name], list) else [node[name]]:
            _walk(account, item, rest, path)


def _expanded(account: Account, name: str, value: Json, path: str, *, last: bool) -> JsonObject:
    if isinstance(value, dict):
        if last and "object" not in value:
            raise _not_expandable(path)
        return value
    found = None
    if isinstance(value, str):
        found = account.find_with_deleted(_KINDS[name], value) if name in _KINDS else account.find_by_id(value)
    if found is None:
        raise _not_expandable(path)
    return account.render(found)


def _not_expandable(path: str) -> Exception:
    return invalid(f"This property cannot be expanded ({path}).", param="expand")
