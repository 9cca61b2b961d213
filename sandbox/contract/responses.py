"""
Replies held to the SDK's resource classes: every field that is not optional is there, and each has its type.

Stricter than the SDK in two ways: an enum that is open there is closed here, and a field that the SDK does not know is
a fault, so nothing that Stripe has taken away can come back.
"""

import ast
import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

from sandbox.contract.routes import ContractRoute
from sandbox.jsontypes import Json, JsonObject

Checker = Callable[[Json, str], Iterator[str]]
"""Takes a value and where it is; yields a sentence for each fault."""


def faults_of_reply(route: ContractRoute, body: JsonObject) -> list[str]:
    """Return what is wrong with the reply to a request; nothing, if it fits."""
    element = _resource(resource_of(route))
    checker = _page(element) if route.is_list else element
    return list(checker(body, route.response[1]))


def resource_of(route: ContractRoute) -> Any:
    """Return the SDK class of what a route returns; of an element, if it is a list."""
    module, name = route.response
    return getattr(importlib.import_module(module), name)


def faults_of_object(body: JsonObject) -> list[str]:
    """Return what is wrong with a resource by itself, such as the one inside an event."""
    home = OBJECT_CLASSES.get(str(body.get("object")))
    if home is None:
        return [f"object: {body.get('object')!r} is no resource of Stripe's"]
    return list(_resource(getattr(importlib.import_module(home[0]), home[1]))(body, home[1]))


def nullable_fields(kind: str) -> tuple[str, ...]:
    """Return the fields of a resource that may be null; `kind` is its `object`, such as `invoice`."""
    module, name = OBJECT_CLASSES[kind]
    cls = getattr(importlib.import_module(module), name)
    return tuple(field for field, hint in hints_of(cls).items() if _may_be_none(hint))


@functools.cache
def _resource(cls: Any) -> Checker:
    """Fields compile at their first use: resources contain one another."""

    @functools.cache
    def compiled() -> tuple[dict[str, Checker], frozenset[str]]:
        hints = hints_of(cls)
        required = frozenset(name for name, hint in hints.items() if not _may_be_none(hint))
        return {name: _compile(hint) for name, hint in hints.items()}, required

    def checker(value: Json, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where}: expected {cls.__name__}, found {value!r}"
            return
        fields, required = compiled()
        if value.get("deleted") is True:
            required = required & {"id", "object"}
        for name in required - value.keys():
            yield f"{where}.{name}: missing"
        for name, inner in value.items():
            if name not in fields:
                yield f"{where}.{name}: {cls.__name__} has no such field"
            else:
                yield from fields[name](inner, f"{where}.{name}")

    return checker


@functools.cache
def hints_of(cls: Any) -> dict[str, Any]:
    """Return the annotations of a resource class, its own and inherited, resolved, without class variables."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, StripeObject) and base.__module__ not in ("stripe._stripe_object", "stripe._api_resource"):
            for name, hint in inspect.get_annotations(base).items():
                origin: Any = get_origin(hint)
                if not name.startswith("_") and origin is not ClassVar:
                    found[name] = _resolve(hint, base.__module__)
    return found


def _resolve(hint: Any, module: str) -> Any:
    """Bind a type to its module, inner forward references included, by replacing each with what it names."""
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
    """What a module imports under `if TYPE_CHECKING`, imported when it is asked for."""

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


def _may_be_none(hint: Any) -> bool:
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

    def checker(value: Json, where: str) -> Iterator[str]:
        if value is None:
            if not nullable:
                yield f"{where}: null is not allowed"
            return
        named = by_object.get(value.get("object")) if isinstance(value, dict) and "object" in value else None
        if named is not None:
            yield from named(value, where)
            return
        outcomes = [list(choice(value, where)) for choice in checkers]
        if all(outcomes):
            yield from max(outcomes, key=lambda found: found[0].count("."))

    return checker


def _one_of(words: tuple[Any, ...]) -> Checker:
    def checker(value: Json, where: str) -> Iterator[str]:
        if value not in words:
            yield f"{where}: {value!r} is none of {', '.join(map(str, words[:12]))}"

    return checker


def _list(element: Checker) -> Checker:
    def checker(value: Json, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where}: expected a list, found {value!r}"
            return
        for index, inner in enumerate(value):
            yield from element(inner, f"{where}[{index}]")

    return checker


def _page(element: Checker) -> Checker:
    data = _list(element)

    def checker(value: Json, where: str) -> Iterator[str]:
        if not isinstance(value, dict) or value.get("object") != "list":
            yield f"{where}: expected a list object, found {value!r}"
            return
        if value.keys() != {"object", "data", "has_more", "url"}:
            yield f"{where}: a list object has not the fields {', '.join(sorted(value))}"
        yield from _boolean(value.get("has_more"), f"{where}.has_more")
        yield from _string(value.get("url"), f"{where}.url")
        yield from data(value.get("data"), f"{where}.data")

    return checker


def _mapping(element: Checker) -> Checker:
    def checker(value: Json, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where}: expected an object, found {value!r}"
            return
        for name, inner in value.items():
            yield from element(inner, f"{where}.{name}")

    return checker


def _string(value: Json, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where}: expected a string, found {value!r}"


def _integer(value: Json, where: str) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield f"{where}: expected an integer, found {value!r}"


def _number(value: Json, where: str) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{where}: expected a number, found {value!r}"


def _decimal(value: Json, where: str) -> Iterator[str]:
    try:
        Decimal(value if isinstance(value, str) else "not a decimal string")
    except InvalidOperation:
        yield f"{where}: expected a decimal string, found {value!r}"


def _boolean(value: Json, where: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{where}: expected a boolean, found {value!r}"


def _anything(value: Json, where: str) -> Iterator[str]:
    yield from ()


_SIMPLE: dict[Any, Checker] = {str: _string, int: _integer, float: _number, Decimal: _decimal, bool: _boolean}
