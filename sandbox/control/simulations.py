"""
Simulations: events outside Stripe that a test can trigger, such as a bank's decision on a dispute.

Each is a function of an account, an object's ID and the JSON body. `sandbox.control.routes` serves them below `/_sandbox`.
"""

from collections.abc import Callable

from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

Simulation = Callable[[Account, str, JsonObject], JsonObject]

SIMULATIONS: dict[str, Simulation] = {}
"""By path below `/_sandbox/`, with `{id}` for the object's ID."""


def simulation(path: str) -> Callable[[Simulation], Simulation]:
    """Register the simulation that a POST to a path runs."""

    def register(function: Simulation) -> Simulation:
        SIMULATIONS[path] = function
        return function

    return register
