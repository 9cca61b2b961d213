"""Faults that a test asks for: replies that get lost, calls that hang, errors of Stripe's own."""

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from sandbox import clock
from sandbox.errors import invalid
from sandbox.jsontypes import JsonObject

_FIELDS = {"method", "path", "when", "action", "seconds", "status", "body", "times"}
_ACTIONS = {"drop", "hold", "status"}


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
    hits: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, method: str, path: str, when: str) -> bool:
        """Say whether a call is hit."""
        spent = self.times is not None and self.hits >= self.times
        return not spent and when == self.when and self.method in ("*", method) and fnmatchcase(path, self.path)

    async def hold(self) -> None:
        """Wait until the fault is deleted or its seconds have passed."""
        released = asyncio.ensure_future(self._released.wait())
        patience = [] if self.seconds is None else [asyncio.ensure_future(clock.sleep(self.seconds))]
        _, waiting = await asyncio.wait([released, *patience], return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    def release(self) -> None:
        """Let go of the calls that are held."""
        self._released.set()

    def shown(self) -> JsonObject:
        """Return the fault as the control API shows it."""
        return {"id": self.id, **{name: getattr(self, name) for name in sorted(_FIELDS)}, "hits": self.hits}


@dataclass
class Faults:
    """The faults of one account, in the order they were asked for."""

    _faults: dict[str, Fault] = field(default_factory=dict)
    _made: int = 0

    def add(self, wanted: JsonObject) -> Fault:
        """
        Add a fault.

        :raises StripeError: 400 that says what is wrong with it.
        """
        _check(wanted)
        self._made += 1
        fault = Fault(
            id=f"fault_{self._made}",
            method=str(wanted.get("method", "*")).upper(),
            path=wanted["path"],
            when=wanted.get("when", "before"),
            action=wanted["action"],
            times=wanted.get("times", 1),
            seconds=wanted.get("seconds"),
            status=wanted.get("status") or 500,
            body=wanted.get("body"),
        )
        self._faults[fault.id] = fault
        return fault

    def take(self, method: str, path: str, when: str) -> Fault | None:
        """Return the first fault that hits a call, and count the hit."""
        for fault in self._faults.values():
            if fault.takes(method, path, when):
                fault.hits += 1
                return fault
        return None

    def all(self) -> list[JsonObject]:
        """Return all faults as the control API shows them."""
        return [fault.shown() for fault in self._faults.values()]

    def remove(self, fault_id: str | None = None) -> None:
        """Delete one fault, or all of them, and let go of the calls they hold."""
        for gone in [fault_id] if fault_id else list(self._faults):
            if gone not in self._faults:
                raise invalid(f"No such fault: {gone}", param="id", status=404)
            self._faults.pop(gone).release()


def _check(wanted: JsonObject) -> None:
    for name in wanted:
        if name not in _FIELDS:
            raise invalid(f"A fault has no field {name!r}; it has {', '.join(sorted(_FIELDS))}.", param=name)
    if not isinstance(wanted.get("path"), str) or not wanted["path"].startswith("/"):
        raise invalid("A fault needs a path that begins with '/', such as '/v1/refunds' or '/v1/*'.", param="path")
    if wanted.get("action") not in _ACTIONS:
        raise invalid(f"A fault's action is one of {', '.join(sorted(_ACTIONS))}.", param="action")
    if wanted.get("when", "before") not in ("before", "after"):
        raise invalid("A fault's when is 'before' or 'after' (the effect).", param="when")
    if str(wanted.get("method", "*")).upper() not in ("*", "GET", "POST", "DELETE"):
        raise invalid("A fault's method is GET, POST, DELETE or '*'.", param="method")
    _check_number(wanted, "times", whole=True)
    _check_number(wanted, "seconds", whole=False)
    _check_number(wanted, "status", whole=True)
    if not 400 <= (wanted.get("status") or 500) <= 599:
        raise invalid("A fault's status is an error: 400 to 599.", param="status")
    if wanted.get("body") is not None and not isinstance(wanted["body"], dict):
        raise invalid("A fault's body is a JSON object.", param="body")


def _check_number(wanted: JsonObject, name: str, *, whole: bool) -> None:
    value = wanted.get(name)
    kinds = int if whole else (int, float)
    if name in wanted and value is not None and (not isinstance(value, kinds) or isinstance(value, bool) or value <= 0):
        raise invalid(f"A fault's {name} is a positive {'integer' if whole else 'number'}.", param=name)
