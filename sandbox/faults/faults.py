"""Faults that a test asks for: replies that get lost, calls that hang, errors of Stripe's own or of what stands before."""

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
    "drop": "cuts the connection without a reply",
    "hold": "waits for `seconds`, or until the fault is deleted, as when a client's time runs out",
    "status": "replies with an error of Stripe's",
    "html": "replies with a page in place of JSON, as a proxy before Stripe does",
    "truncate": "replies with half of the JSON",
    "slow": "replies in drips, for `seconds`",
    "outage": "replies to every call with an error, for `seconds` or until the fault is deleted",
}
"""What each action does, in words."""
_RESPONSE_ACTIONS = ("truncate", "slow")
"""Actions on the true reply: they can only come after the effect."""


@dataclass(kw_only=True)
class Fault:
    """One fault: which calls it hits, before or after their effect, and what it does to them."""

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
        """Say whether a call is hit."""
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
        """Let go of the calls that are held."""
        self._released.set()

    def reply(self) -> JsonObject:
        """Return the JSON body of the error that it makes."""
        if self.body is not None:
            return self.body
        if self.status == 429:
            return rate_limits.rate_limit_error().body()
        return StripeError(self.status, "api_error", "An error that the sandbox was asked to make.").body()

    def html(self) -> str:
        """Return the page that it shows in place of JSON."""
        title = f"{self.status} {HTTPStatus(self.status).phrase if self.status in set(HTTPStatus) else 'Error'}"
        return f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>The sandbox was asked to.</p>\n"

    @property
    def headers(self) -> dict[str, str]:
        """What Stripe says of a retry, if it says anything."""
        return {} if self.should_retry is None else {"Stripe-Should-Retry": json.dumps(self.should_retry)}

    def to_json(self) -> JsonObject:
        """Return the fault as the control API shows it."""
        return {"id": self.id, **{name: getattr(self, name) for name in sorted(_RULES)}, "hits": self.hits}


@dataclass
class Faults:
    """The faults of one account, in the order they were asked for."""

    _faults: dict[str, Fault] = field(default_factory=dict)
    _made: int = 0

    def add(self, fields: JsonObject, *, seed: int = 0) -> Fault:
        """
        Add a fault.

        :param seed: what its probability is drawn from.
        :raises StripeError: 400 that says what is wrong with it.
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
        """Return the first fault that hits a call, and count the hit."""
        for fault in self._faults.values():
            if fault.matches(method, path, when):
                fault.hits += 1
                return fault
        return None

    def all(self) -> list[JsonObject]:
        """Return all faults as the control API shows them."""
        return [fault.to_json() for fault in self._faults.values()]

    def remove(self, fault_id: str | None = None) -> None:
        """Delete one fault, or all of them, and let go of the calls they hold."""
        for removed_id in [fault_id] if fault_id else list(self._faults):
            if removed_id not in self._faults:
                raise invalid(f"No such fault: {removed_id}", param="id", status=404)
            self._faults.pop(removed_id).release()


def _check(fields: JsonObject) -> None:
    for name, value in fields.items():
        if name not in _RULES:
            raise invalid(f"A fault has no field {name!r}; it has {', '.join(sorted(_RULES))}.", param=name)
        fits, meaning = _RULES[name]
        if not fits(value):
            raise invalid(f"A fault's {name} is {meaning}.", param=name)
    action = fields.get("action")
    if action is None and "path" in fields:
        raise invalid(f"A fault's action is {_RULES['action'][1]}.", param="action")
    if action != "outage" and "path" not in fields:
        raise invalid("A fault needs a path that begins with '/', such as '/v1/refunds' or '/v1/*'.", param="path")
    if fields.get("status") == 200 and fields.get("body") is None:
        raise invalid("A fault of status 200 needs the body that it answers.", param="body")
    if action in _RESPONSE_ACTIONS and fields.get("when") == "before":
        raise invalid(f"{action} is done to the reply, so when is 'after'.", param="when")
    if action == "outage" and fields.get("when") == "after":
        raise invalid("In an outage nothing has an effect, so when is 'before'.", param="when")


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
        "an error, 400 to 599, or 200 with the body of an answer that Stripe does not give yet",
    ),
    "body": (lambda v: v is None or isinstance(v, dict), "a JSON object"),
    "times": (lambda v: v is None or _is_count(v), "a positive integer, or null for always"),
    "should_retry": (lambda v: v is None or isinstance(v, bool), "true, false, or null for no such header"),
    "probability": (lambda v: _is_number(v) and 0 < v <= 1, "a number above 0, at most 1"),
}
"""For each field what it takes, as a rule and in words."""
