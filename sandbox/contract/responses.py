"""
Validate responses against the SDK's resource classes: all required fields are present, and each has its type.

Stricter than the SDK in two ways: open enums are closed, and unknown fields are errors, so removed fields cannot return.
"""

import ast
import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

from sandbox.contract.routes import ContractRoute
from sandbox.json_types import Json, JsonObject

Errors = Sequence[str]
"""Error messages, each starting with the path of the value."""
Checker = Callable[[Json], Errors]

_VALID: Errors = ()


def response_errors(route: ContractRoute, body: JsonObject) -> list[str]:
    """Return the errors in the response to a request."""
    element = _resource(resource_of(route))
    checker = _page(element) if route.is_list else element
    return _prefixed(route.response[1], checker(body))


def resource_of(route: ContractRoute) -> Any:
    """Return the SDK class that a route returns; for a list, the class of its elements."""
    module, name = route.response
    return getattr(importlib.import_module(module), name)


def object_errors(body: JsonObject) -> list[str]:
    """Return the errors in a single resource, such as the object of an event."""
    home = OBJECT_CLASSES.get(str(body.get("object")))
    if home is None:
        return [f"object: {body.get('object')!r} is no resource of Stripe's"]
    return _prefixed(home[1], _resource(getattr(importlib.import_module(home[0]), home[1]))(body))


def _prefixed(where: str, errors: Errors) -> list[str]:
    """Prefix each error with the path of the value."""
    return [f"{where}{fault}" for fault in errors]


def nullable_fields(kind: str) -> tuple[str, ...]:
    """Return the nullable fields of a resource. `kind` is its `object`, such as `invoice`."""
    module, name = OBJECT_CLASSES[kind]
    cls = getattr(importlib.import_module(module), name)
    return tuple(field for field, hint in field_types(cls).items() if _is_nullable(hint))


@functools.cache
def _resource(cls: Any) -> Checker:
    """Return the checker of a resource class. Fields compile at first use because resources are recursive."""

    @functools.cache
    def compiled() -> tuple[dict[str, Checker], frozenset[str]]:
        hints = field_types(cls)
        required = frozenset(name for name, hint in hints.items() if not _is_nullable(hint))
        return {name: _compile(hint) for name, hint in hints.items()}, required

    def checker(value: Json) -> Errors:
        if not isinstance(value, dict):
            return [f": expected {cls.__name__}, found {value!r}"]
        fields, required = compiled()
        if value.get("deleted") is True:
            required = required & {"id", "object"}
        found = [f".{name}: missing" for name in required - value.keys()]
        for name, inner in value.items():
            field = fields.get(name)
            if field is None:
                found.append(f".{name}: {cls.__name__} has no such field")
            elif errors := field(inner):
                found += _prefixed(f".{name}", errors)
        return found

    return checker


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """Return the resolved annotations of a resource class, including inherited ones, without class variables."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, StripeObject) and base.__module__ not in ("stripe._stripe_object", "stripe._api_resource"):
            for name, hint in inspect.get_annotations(base).items():
                origin: Any = get_origin(hint)
                if not name.startswith("_") and origin is not ClassVar:
                    found[name] = _resolve(hint, base.__module__)
    return found


def _resolve(hint: Any, module: str) -> Any:
    """Resolve the forward references in a type in the context of its module."""
    if isinstance(hint, str):
        hint = ForwardRef(hint)
    if isinstance(hint, ForwardRef):
        return _resolve(eval(hint.__forward_arg__, vars(sys.modules[module]), _Names(module)), module)  # noqa: S307  # type: ignore[arg-type,unused-ignore]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None or origin is Literal or not arguments:
        return hint
    resolved = tuple(_resolve(argument, module) for argument in arguments)
    if origin in (Union, types.UnionType):
        return Union[resolved]  # noqa: UP007
    return types.GenericAlias(origin, resolved)


class _Names(Mapping[str, Any]):
    """The names a module imports under `if TYPE_CHECKING`, imported on access."""

    def __init__(self, module: str) -> None:
        self._homes = _type_checking_imports(module)

    def __getitem__(self, name: str) -> Any:
        module, original = self._homes[name]
        return getattr(importlib.import_module(module), original)

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


@functools.cache
def _type_checking_imports(module: str) -> dict[str, tuple[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _is_nullable(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _compile(hint: Any) -> Checker:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _union(get_args(hint))
    if origin is Literal:
        return _one_of(get_args(hint))
    if origin is list:
        return _list(_compile(get_args(hint)[0]))
    if origin is ListObject:
        return _page(_compile(get_args(hint)[0]))
    if origin in (dict, UntypedStripeObject):
        return _mapping(_compile(get_args(hint)[-1]))
    if hint in (StripeObject, UntypedStripeObject):
        return _mapping(_anything)
    if isinstance(hint, type) and issubclass(hint, StripeObject):
        resource: Any = hint
        return _resource(resource)
    return _SIMPLE.get(hint, _anything)


def _union(members: tuple[Any, ...]) -> Checker:
    nullable = type(None) in members
    closed = any(get_origin(member) is Literal for member in members)
    plain = [m for m in members if m is not type(None) and not (closed and m is str)]
    by_object = {getattr(m, "OBJECT_NAME", None): _compile(m) for m in plain if isinstance(m, type)}
    checkers = [_compile(member) for member in plain]

    def checker(value: Json) -> Errors:
        if value is None:
            return _VALID if nullable else [": null is not allowed"]
        named = by_object.get(value["object"]) if isinstance(value, dict) and "object" in value else None
        if named is not None:
            return named(value)
        outcomes = []
        for choice in checkers:
            errors = choice(value)
            if not errors:
                return _VALID
            outcomes.append(errors)
        # The error at the deepest path is the most precise.
        return max(outcomes, key=lambda errors: errors[0].count("."), default=_VALID)

    return checker


def _one_of(values: tuple[Any, ...]) -> Checker:
    allowed = frozenset(values)

    def checker(value: Json) -> Errors:
        fits = isinstance(value, Hashable) and value in allowed
        return _VALID if fits else [f": {value!r} is none of {', '.join(map(str, values[:12]))}"]

    return checker


def _list(element: Checker) -> Checker:
    def checker(value: Json) -> Errors:
        if not isinstance(value, list):
            return [f": expected a list, found {value!r}"]
        found: list[str] = []
        for index, inner in enumerate(value):
            if errors := element(inner):
                found += _prefixed(f"[{index}]", errors)
        return found

    return checker


def _page(element: Checker) -> Checker:
    data = _list(element)

    def checker(value: Json) -> Errors:
        if not isinstance(value, dict) or value.get("object") != "list":
            return [f": expected a list object, found {value!r}"]
        found = []
        if value.keys() != {"object", "data", "has_more", "url"}:
            found.append(f": a list object has not the fields {', '.join(sorted(value))}")
        for name, inner in (("has_more", _boolean), ("url", _string), ("data", data)):
            found += _prefixed(f".{name}", inner(value.get(name)))
        return found

    return checker


def _mapping(element: Checker) -> Checker:
    def checker(value: Json) -> Errors:
        if not isinstance(value, dict):
            return [f": expected an object, found {value!r}"]
        return [fault for name, inner in value.items() for fault in _prefixed(f".{name}", element(inner))]

    return checker


def _string(value: Json) -> Errors:
    return _VALID if isinstance(value, str) else [f": expected a string, found {value!r}"]


def _integer(value: Json) -> Errors:
    fits = isinstance(value, int) and not isinstance(value, bool)
    return _VALID if fits else [f": expected an integer, found {value!r}"]


def _number(value: Json) -> Errors:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return _VALID if fits else [f": expected a number, found {value!r}"]


def _decimal(value: Json) -> Errors:
    try:
        Decimal(value if isinstance(value, str) else "not a decimal string")
    except InvalidOperation:
        return [f": expected a decimal string, found {value!r}"]
    return _VALID


def _boolean(value: Json) -> Errors:
    return _VALID if isinstance(value, bool) else [f": expected a boolean, found {value!r}"]


def _anything(value: Json) -> Errors:
    return _VALID


_SIMPLE: dict[Any, Checker] = {str: _string, int: _integer, float: _number, Decimal: _decimal, bool: _boolean}
