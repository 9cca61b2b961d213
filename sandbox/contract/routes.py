"""Stripe's v1 routes, read from the source of the SDK's service classes."""

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import stripe

_PACKAGE = Path(stripe.__file__).parent
_VERBS = {"get", "post", "delete"}
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractRoute:
    """One of Stripe's routes, with the names of the SDK classes for its parameters and its response."""

    method: str
    path: str
    service: str
    """The SDK's name of the service, such as `checkout.sessions`."""
    params: tuple[str, str] | None
    """Module and class of the parameters; None if there are none."""
    response: tuple[str, str]
    """Module and class of the response; of an element if `is_list`."""
    is_list: bool


@functools.cache
def all_routes() -> dict[tuple[str, str], ContractRoute]:
    """Return all v1 routes of the SDK by method and path template."""
    table: dict[tuple[str, str], ContractRoute] = {}
    services = dict(_services("stripe._v1_services"))
    for file in sorted(_PACKAGE.glob("**/_*_service.py")):
        source = file.read_text(encoding="utf-8")
        if '"/v1/' in source:
            module = ".".join(file.relative_to(_PACKAGE.parent).with_suffix("").parts)
            for route in _routes_of(ast.parse(source), services.get(module, module)):
                table.setdefault((route.method, route.path), route)
    return table


def _services(module: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the module and the dotted name of each service."""
    under: dict[str, list[str]] = getattr(importlib.import_module(module), "_subservices", {})
    for name, (home, _) in under.items():
        yield home, f"{prefix}{name}"
        yield from _services(home, f"{prefix}{name}.")


@functools.cache
def _shapes() -> dict[tuple[int, str], list[tuple[tuple[str, ...], str]]]:
    """Return path templates by their number of slashes and their first segment, the most literal first."""
    alike: dict[tuple[int, str], set[str]] = {}
    for _, path in all_routes():
        alike.setdefault((path.count("/"), path.split("/")[2]), set()).add(path)
    return {
        key: sorted(((tuple(path.split("/")), path) for path in paths), key=_variables_last)
        for key, paths in alike.items()
    }


def _variables_last(shape: tuple[tuple[str, ...], str]) -> tuple[bool, ...]:
    return tuple(part.startswith("{") for part in shape[0])


def match(method: str, path: str) -> tuple[ContractRoute, dict[str, str]] | None:
    """Return the route of a concrete path and the IDs in it, or None if Stripe has no such route."""
    parts = path.split("/")
    if len(parts) < 3:
        return None
    for shape, template in _shapes().get((len(parts) - 1, parts[2]), []):
        ids = {}
        for wanted, given in zip(shape, parts, strict=True):
            if wanted.startswith("{") and given:
                ids[wanted.strip("{}")] = given
            elif wanted != given:
                break
        else:
            found = all_routes().get((method, template))
            if found:
                return found, ids
    return None


def _routes_of(tree: ast.Module, service: str) -> Iterator[ContractRoute]:
    homes = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            route = _route_of(node, homes, service)
            if route:
                yield route


def _route_of(function: ast.FunctionDef, homes: dict[str, str], service: str) -> ContractRoute | None:
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "_request":
            verb, path = _constant(call.args[0]), _constant(call.args[1])
            if verb in _VERBS and path.startswith("/v1/") and function.returns is not None:
                returned = _names(function.returns)
                name = returned[-1]
                return ContractRoute(
                    method=verb.upper(),
                    path=path,
                    service=service,
                    params=_params_of(function, homes),
                    response=(homes.get(name, ""), name),
                    is_list=returned[0] == "ListObject",
                )
    return None


def _constant(node: ast.expr) -> str:
    """Return a string constant, or the template of a `"…".format(…)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _params_of(function: ast.FunctionDef, homes: dict[str, str]) -> tuple[str, str] | None:
    arguments = [*function.args.posonlyargs, *function.args.args]
    for argument in arguments:
        if argument.arg == "params" and argument.annotation is not None:
            name = next(name for name in _names(argument.annotation) if name.endswith("Params"))
            return homes[name], name
    return None


def _names(annotation: ast.expr) -> list[str]:
    return _NAME.findall(ast.unparse(annotation))
