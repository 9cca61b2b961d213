"""Faults that tests inject: lost responses, calls that hang, and errors of Stripe or of a proxy in front of it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from random import Random
from typing import TypeGuard

from sandbox import clock
from sandbox.errors import StripeError, invalid
from sandbox.http import rate_limits
from sandbox.json_types import Json, JsonObject
from sandbox.seeded_random import random_for

ACTIONS = {
    "drop": "closes the connection without a response",
    "hold": "delays the response for `seconds`, or until the fault is deleted, as in a time-out",
    "status": "returns a Stripe error",
    "html": "returns an HTML page instead of JSON, like a proxy in front of Stripe",
    "truncate": "returns half of the JSON",
    "cut": "closes the connection after half of the body",
    "stall": "sends half of the body, and then nothing for `seconds`, or until the fault is deleted",
    "slow": "sends the response in small chunks for `seconds`",
    "outage": "returns an error to every call, for `seconds` or until the fault is deleted",
}
"""Actions and their descriptions."""
_RESPONSE_ACTIONS = ("truncate", "cut", "stall", "slow")
"""Actions on the real response. They always happen after the effect."""


@dataclass(kw_only=True)
class Fault:
    """One fault: which calls it matches, before or after their effect, and what it does."""

    id: str
    method: str
    path: str
    when: str
    action: str
    times: int | None
    seconds: float | None
    status: int
    body: JsonObject | None
    should_retry: bool | None
    probability: float
    hits: int = 0
    _random: Random
    _begun: float = field(default_factory=clock.precise)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, path: str, when: str) -> bool:
        """Return whether the fault applies to a call."""
        spent = self.times is not None and self.hits >= self.times
        over = self.action == "outage" and self.seconds is not None and clock.precise() > self._begun + self.seconds
        if spent or over or when != self.when or self.method not in ("*", method) or not fnmatchcase(path, self.path):
            return False
        return self.probability >= 1 or self._random.random() < self.probability

    async def hold(self) -> None:
        """Wait until the fault is deleted or its seconds have passed."""
        released = asyncio.ensure_future(self._released.wait())
        timeout = [] if self.seconds is None else [asyncio.ensure_future(clock.sleep(self.seconds))]
        _, waiting = await asyncio.wait([released, *timeout], return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def release(self) -> None:
        """Release the calls that are held."""
        self._released.set()

    def reply(self) -> JsonObject:
        """Return the JSON body of the injected error."""
        if self.body is not None:
            return self.body
        if self.status == 429:
            return rate_limits.rate_limit_error().body()
        return StripeError(self.status, "api_error", "Injected by a fault.").body()

    def html(self) -> str:
        """Return the HTML page that replaces JSON."""
        title = f"{self.status} {HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else 'Error'}"
        return f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>Injected by a fault.</p>\n"

    @property
    def headers(self) -> dict[str, str]:
        """The retry header, if the fault sets one."""
        return {} if self.should_retry is None else {"Stripe-Should-Retry": json.dumps(self.should_retry)}

    def to_json(self) -> JsonObject:
        """Return the fault as the control API returns it."""
        return {"id": self.id, **{name: getattr(self, name) for name in sorted(_RULES)}, "hits": self.hits}


@dataclass
class Faults:
    """The faults of one account in the order they were added."""

    _faults: dict[str, Fault] = field(default_factory=dict)
    _made: int = 0

    def add(self, fields: JsonObject, *, seed: int = 0) -> Fault:
        """
        Add a fault.

        :param seed: the seed of its probability.
        :raises StripeError: 400 with what is wrong.
        """
        _check(fields)
        self._made += 1
        action = fields["action"]
        outage = action == "outage"
        fault = Fault(
            id=f"fault_{self._made}",
            method=str(fields.get("method", "*")).upper(),
            path=fields.get("path", "/*"),
            when=fields.get("when", "after" if action in _RESPONSE_ACTIONS else "before"),
            action=action,
            times=fields.get("times", None if outage or "probability" in fields else 1),
            seconds=fields.get("seconds"),
            status=fields.get("status") or {"outage": 503, "html": 502}.get(action, 500),
            body=fields.get("body"),
            should_retry=fields.get("should_retry"),
            probability=fields.get("probability", 1),
            _random=random_for(seed, "fault", self._made),
        )
        self._faults[fault.id] = fault
        return fault

    def match(self, method: str, path: str, when: str) -> Fault | None:
        """Return the first fault that applies to a call, and count the match."""
        for fault in self._faults.values():
            if fault.matches(method, path, when):
                fault.hits += 1
                return fault
        return None

    def all(self) -> list[JsonObject]:
        """Return all faults as the control API returns them."""
        return [fault.to_json() for fault in self._faults.values()]

    def remove(self, fault_id: str | None = None) -> None:
        """Delete one fault or all, and release the calls they hold."""
        for removed_id in [fault_id] if fault_id else list(self._faults):
            if removed_id not in self._faults:
                raise invalid(f"No such fault: {removed_id}", param="id", status=404)
            self._faults.pop(removed_id).release()


def _check(fields: JsonObject) -> None:
    for name, value in fields.items():
        if name not in _RULES:
            raise invalid(f"Unknown field {name!r}. A fault has the fields {', '.join(sorted(_RULES))}.", param=name)
        fits, meaning = _RULES[name]
        if not fits(value):
            raise invalid(f"{name} must be {meaning}.", param=name)
    action = fields.get("action")
    if action is None and "path" in fields:
        raise invalid(f"action must be {_RULES['action'][1]}.", param="action")
    if action != "outage" and "path" not in fields:
        raise invalid("path is required and must begin with '/', such as '/v1/refunds' or '/v1/*'.", param="path")
    if fields.get("status") == 200 and fields.get("body") is None:
        raise invalid("A fault with status 200 requires a body.", param="body")
    if action in _RESPONSE_ACTIONS and fields.get("when") == "before":
        raise invalid(f"when must be 'after' for {action}, which changes the response.", param="when")
    if action == "outage" and fields.get("when") == "after":
        raise invalid("when must be 'before' for an outage, in which no call has an effect.", param="when")


def _is_number(value: Json) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and _is_number(value) and value > 0


_Rule = tuple[Callable[[Json], bool], str]
_RULES: dict[str, _Rule] = {
    "method": (lambda v: str(v).upper() in ("*", "GET", "POST", "DELETE"), "GET, POST, DELETE or '*'"),
    "path": (lambda v: isinstance(v, str) and v.startswith("/"), "a path that begins with '/', such as '/v1/*'"),
    "when": (lambda v: v in ("before", "after"), "'before' or 'after' (the effect)"),
    "action": (lambda v: isinstance(v, str) and v in ACTIONS, f"one of {', '.join(sorted(ACTIONS))}"),
    "seconds": (lambda v: v is None or (_is_number(v) and 0 < v < float("inf")), "a positive number"),
    "status": (
        lambda v: v is None or (isinstance(v, int) and _is_number(v) and (v == 200 or 400 <= v <= 599)),
        "an error status from 400 to 599, or 200 together with a body",
    ),
    "body": (lambda v: v is None or isinstance(v, dict), "a JSON object"),
    "times": (lambda v: v is None or _is_count(v), "a positive integer, or null for always"),
    "should_retry": (lambda v: v is None or isinstance(v, bool), "true, false, or null for no header"),
    "probability": (lambda v: _is_number(v) and 0 < v <= 1, "a number greater than 0 and at most 1"),
}
"""For each field, its validation and a description of valid values."""
