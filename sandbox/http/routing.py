"""Route registration, and what handlers receive and return."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.contract.routes import all_routes
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

_EVERYWHERE = frozenset({"expand"})
_LISTS = frozenset({"limit", "starting_after", "ending_before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A validated API request: account, converted parameters and the IDs in the path."""

    account: Account
    params: JsonObject
    ids: dict[str, str]
    base_url: str
    """The address of the sandbox as the caller sees it, without a trailing slash."""


@dataclass(frozen=True, slots=True)
class Page:
    """The result of a list route: all matching objects, newest first. Pagination selects the page."""

    items: list[JsonObject]


Handler = Callable[[Call], JsonObject | Page]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler and the parameters it supports. Stripe's other parameters return 501."""

    handler: Handler
    takes: frozenset[str]


ROUTES: dict[tuple[str, str], Endpoint] = {}
"""All supported routes by method and the SDK's path template."""


def route(method: str, path: str, *, takes: str = "") -> Callable[[Handler], Handler]:
    """
    Register a handler for a route.

    :param takes: the top-level parameters it supports, separated by spaces.
    """
    route = all_routes().get((method, path))
    if route is None:
        raise LookupError(f"Stripe has no route {method} {path}")
    meant = frozenset(takes.split()) | _EVERYWHERE | (_LISTS if route.is_list else frozenset())

    def register(handler: Handler) -> Handler:
        ROUTES[method, path] = Endpoint(handler, meant)
        return handler

    return register
