"""
Validate parameters against the SDK's TypedDicts and convert them from the strings of a form.

Each type is compiled once to a checker. It takes a decoded value and its name, such as `items[0][price]`, and returns the
converted value or raises Stripe's 400.
"""

import functools
import importlib
import types
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import get_type_hints, is_typeddict

from sandbox.contract.routes import ContractRoute
from sandbox.errors import StripeError, invalid
from sandbox.json_types import Json, JsonObject

Checker = Callable[[Json, str], Json]

_OPTIONS = frozenset(RequestOptions.__annotations__)
_INHERITED_NAMES = {
    "StripeContext": object,
    "Mapping": Mapping,
}  # names in the annotations of the inherited request options
_INT64 = 2**63
_MAX_STRING, _MAX_DESCRIPTION = 5000, 40_000
"""Stripe's limits of a string and of a product's description. Handlers check the shorter limits of other fields."""


def check(route: ContractRoute, raw: JsonObject) -> JsonObject:
    """
    Return the converted parameters of a request.

    :raises StripeError: 400 for an unknown or missing parameter, a wrong type or an unknown enum value.
    """
    if route.params is None:
        return _object({}, frozenset())(raw, "")  # type: ignore[no-any-return]
    return _checker_of(route.params)(raw, "")  # type: ignore[no-any-return]


def names(route: ContractRoute) -> frozenset[str]:
    """Return the top-level parameters that Stripe has for a route."""
    if route.params is None:
        return frozenset()
    module, name = route.params
    cls = getattr(importlib.import_module(module), name)
    inherited = _OPTIONS if RequestOptions in getattr(cls, "__orig_bases__", ()) else frozenset()
    return frozenset(cls.__annotations__) - inherited


@functools.cache
def _checker_of(where: tuple[str, str]) -> Checker:
    module, name = where
    return _typed_dict(getattr(importlib.import_module(module), name))


@functools.cache
def _typed_dict(cls: type) -> Checker:
    """Return the checker of a TypedDict. Fields compile at first use because types can be recursive."""

    @functools.cache
    def compiled() -> Checker:
        hints = get_type_hints(cls, localns=_INHERITED_NAMES, include_extras=True)
        inherited = _OPTIONS if RequestOptions in getattr(cls, "__orig_bases__", ()) else frozenset()
        fields = {name: _compile(hint) for name, hint in hints.items() if name not in inherited}
        required: frozenset[str] = getattr(cls, "__required_keys__", frozenset())
        return _object(fields, required & fields.keys())

    return lambda value, name: compiled()(value, name)


def _object(fields: dict[str, Checker], required: frozenset[str]) -> Checker:
    def checker(value: Json, name: str) -> Json:
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=name)
        unknown = [_nested_name(name, key) for key in value if key not in fields]
        if unknown:
            noun = "parameter" if len(unknown) == 1 else "parameters"
            message = f"Received unknown {noun}: {', '.join(unknown)}"
            raise invalid(message, param=unknown[0], code="parameter_unknown")
        typed = {key: fields[key](inner, _nested_name(name, key)) for key, inner in value.items()}
        for key in sorted(required - value.keys()):
            absent = _nested_name(name, key)
            raise invalid(f"Missing required param: {absent}.", param=absent, code="parameter_missing")
        for key in required:
            if value[key] == "" and fields[key] is _string:
                raise empty(_nested_name(name, key))
        return typed

    return checker


def empty(name: str) -> StripeError:
    """Return Stripe's 400 for an empty string in a parameter that cannot be unset."""
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return invalid(message, param=name, code="parameter_invalid_empty")


def _nested_name(name: str, key: str) -> str:
    return f"{name}[{key}]" if name else key


def _compile(hint: Any) -> Checker:
    origin = get_origin(hint)
    if origin in (NotRequired, Required):
        return _compile(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return _union(get_args(hint))
    if origin is Literal:
        return _enum(get_args(hint))
    if origin is list:
        return _list(_compile(get_args(hint)[0]))
    if origin is dict:
        return _mapping(_compile(get_args(hint)[1]))
    if is_typeddict(hint):
        return _typed_dict(hint)
    return _SIMPLE.get(hint, _any)


def _union(members: tuple[Any, ...]) -> Checker:
    """Return the checker of a union. An empty string unsets if `Literal['']` allows it; open enums are closed."""
    kept = [member for member in members if member is not type(None) and get_origin(member) is not UntypedStripeObject]
    enums = tuple(value for member in kept if get_origin(member) is Literal for value in get_args(member))
    unsets = "" in enums
    values = tuple(value for value in enums if value != "")
    others = [_compile(m) for m in kept if get_origin(m) is not Literal and not (values and m is str)]
    choices = [*others, _enum(values)] if values else others

    def checker(value: Json, name: str) -> Json:
        if unsets and value == "":
            return ""
        first: StripeError | None = None
        for choice in choices:
            try:
                return choice(value, name)
            except StripeError as error:
                # An error inside a nested value is more precise than an error about the value itself.
                if first is None or error.members.get("param") != name:
                    first = error
        if first is None:
            raise invalid(f"Invalid {name}", param=name)
        raise first

    return checker


def _enum(values: tuple[str, ...]) -> Checker:
    listed = values[0] if len(values) == 1 else f"{', '.join(values[:-1])}, or {values[-1]}"

    def checker(value: Json, name: str) -> Json:
        if value not in values:
            raise invalid(f"Invalid {name}: must be one of {listed}", param=name)
        return value

    return checker


def _list(element: Checker) -> Checker:
    def checker(value: Json, name: str) -> Json:
        if not isinstance(value, dict) or not all(key.isascii() and key.isdigit() for key in value):
            raise invalid("Invalid array", param=name)
        return [element(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]

    return checker


def _mapping(element: Checker) -> Checker:
    def checker(value: Json, name: str) -> Json:
        if value == "":
            return ""  # unsets the whole value, like `metadata=`
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=name)
        return {key: element(inner, f"{name}[{key}]") for key, inner in value.items()}

    return checker


def _string(value: Json, name: str) -> Json:
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {value}", param=name)
    if "\x00" in value:
        raise invalid("Invalid string: null bytes are not allowed.", param=name)
    limit = _MAX_DESCRIPTION if name.endswith("description") else _MAX_STRING
    if len(value) > limit:
        raise invalid(f"Invalid string: {value[:10]}...{value[-4:]}; must be at most {limit} characters", param=name)
    return value


def _integer(value: Json, name: str) -> Json:
    try:
        number = int(_string(value, name)) if str(value).strip() == value and "_" not in value else None
    except ValueError:
        number = None
    if number is None or not -_INT64 <= number < _INT64:
        raise invalid(f"Invalid integer: {value}", param=name, code="parameter_invalid_integer")
    return number


def _number(value: Json, name: str) -> Json:
    return float(_decimal(value, name))


def _decimal(value: Json, name: str) -> Json:
    try:
        number = Decimal(_string(value, name))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise invalid(f"Invalid decimal: {value}", param=name)
    return value


def _boolean(value: Json, name: str) -> Json:
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param=name)
    return value == "true"


def _any(value: Json, name: str) -> Json:
    return value


_SIMPLE: dict[Any, Checker] = {str: _string, int: _integer, float: _number, Decimal: _decimal, bool: _boolean}
