"""How a resource says which routes it serves, and what a handler is given."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.contract.routes import all_routes
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

_EVERYWHERE = frozenset({"expand"})
_LISTS = frozenset({"limit", "starting_after", "ending_before"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One API request that passed the checks: its account, typed parameters and the ids in its path."""

    account: Account
    params: JsonObject
    ids: dict[str, str]
    base_url: str
    """Where the caller reached the sandbox, without a slash at the end."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a list route returns: everything that matches, newest first. The pagination takes its page out of it."""

    items: list[JsonObject]


Handler = Callable[[Call], JsonObject | Page]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler, and the parameters it gives a meaning to. Others that Stripe knows are answered 501."""

    handler: Handler
    takes: frozenset[str]


ROUTES: dict[tuple[str, str], Endpoint] = {}
"""Every route the sandbox serves, by method and the SDK's path template."""


def route(method: str, path: str, *, takes: str = "") -> Callable[[Handler], Handler]:
    """
    Register a handler for a route.

    :param takes: the top-level parameters that it gives a meaning to, separated by blanks.
    """
    route = all_routes().get((method, path))
    if route is None:
        raise LookupError(f"Stripe has no route {method} {path}")
    meant = frozenset(takes.split()) | _EVERYWHERE | (_LISTS if route.is_list else frozenset())

    def register(handler: Handler) -> Handler:
        ROUTES[method, path] = Endpoint(handler, meant)
        return handler

    return register
