"""
What happens outside Stripe and that a test can have happen: a reader authenticates, a bank decides a dispute.

Each is a function of an account, an object's id and the JSON body of the request, served by `sandbox.control.routes` below
`/_sandbox`.
"""

from collections.abc import Callable

from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

Simulation = Callable[[Account, str, JsonObject], JsonObject]

SIMULATIONS: dict[str, Simulation] = {}
"""By path below `/_sandbox/`, with `{id}` in it."""


def simulation(path: str) -> Callable[[Simulation], Simulation]:
    """Register what happens on a POST to a path."""

    def register(function: Simulation) -> Simulation:
        SIMULATIONS[path] = function
        return function

    return register
