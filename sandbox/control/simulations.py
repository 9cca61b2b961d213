"""
What happens outside Stripe and that a test can have happen: a reader authenticates, a bank decides a dispute.

Each is a function of an account, an object's id and the JSON body of the request, served by `sandbox.control.routes` below
`/_sandbox`.
"""

from collections.abc import Callable

from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

Happening = Callable[[Account, str, JsonObject], JsonObject]

HAPPENINGS: dict[str, Happening] = {}
"""By path below `/_sandbox/`, with `{id}` in it."""


def outside(path: str) -> Callable[[Happening], Happening]:
    """Register what happens on a POST to a path."""

    def register(function: Happening) -> Happening:
        HAPPENINGS[path] = function
        return function

    return register
