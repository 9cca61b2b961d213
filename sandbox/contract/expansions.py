"""Which paths of `expand[]` a route supports, according to the SDK's types."""

import functools
from typing import Any, get_args, get_origin

from stripe._list_object import ListObject
from stripe._stripe_object import StripeObject

from sandbox.contract.responses import field_types, resource_of
from sandbox.contract.routes import ContractRoute


@functools.cache
def can_expand(route: ContractRoute, path: str) -> bool:
    """Return whether a path leads to an expandable property, each step through a resource, a list or a part of one."""
    element = resource_of(route)
    parts = path.split(".")
    if route.is_list:
        if parts[0] != "data" or len(parts) == 1:
            return False
        parts = parts[1:]
    places: list[Any] = [element]
    for index, name in enumerate(parts):
        hints = [hint for place in places for hint in _field(place, name)]
        if hints and index == len(parts) - 1 and name in _VALUES:
            return True
        places = [place for hint in hints for place in _places(hint)]
        if not places or (index == len(parts) - 1 and not any(_expands(place) for place in places)):
            return False
    return True


def _field(place: Any, name: str) -> list[Any]:
    """Return the type of a field. `data` of a list has the type of its elements."""
    if get_origin(place) is ListObject:
        return [get_args(place)[0]] if name == "data" else []
    found = field_types(place).get(name)
    return [] if found is None else [found]


def _places(hint: Any) -> list[Any]:
    """Return the classes that a value of this type can have, inside unions and lists."""
    if get_origin(hint) is ListObject:
        return [hint]
    if get_args(hint):
        return [place for inner in get_args(hint) for place in _places(inner)]
    return [hint] if isinstance(hint, type) and issubclass(hint, StripeObject) else []


def _expands(place: Any) -> bool:
    return get_origin(place) is ListObject or hasattr(place, "OBJECT_NAME") or place.__name__ in _PARTS


_VALUES = {"amount_paid_off_stripe", "currency_options", "invoice_credit_balance"}
"""Fields that are returned only when expanded, although they are numbers or maps."""
_PARTS = {"ConfirmationSecret", "AppliesTo", "Tax", "Breakdown"}
"""Parts of resources that are returned only when expanded."""
