"""
The store: one account for each secret key, in memory.

Objects are stored as the API returns them, plus private fields that begin with `_` and are never returned. Renderers can
add computed fields. References are stored as IDs; `expand` follows them.
"""

import functools
import secrets
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox import clock
from sandbox.constants import API_VERSION
from sandbox.contract import responses
from sandbox.errors import missing
from sandbox.faults.faults import Faults
from sandbox.http.idempotency import IdempotencyKeys
from sandbox.http.rate_limits import RateLimits
from sandbox.json_types import Json, JsonObject
from sandbox.settings import Settings
from sandbox.store.scheduler import Scheduler

_ALPHABET = string.ascii_letters + string.digits

Renderer = Callable[["Account", JsonObject], JsonObject]

RENDERERS: dict[str, Renderer] = {}
"""Functions that add or change fields when an object is returned, by kind. Resources register them."""

_EXPAND_ONLY = {
    "invoice": {"payments", "confirmation_secret", "amount_paid_off_stripe"},
    "customer": {"sources", "subscriptions", "tax", "tax_ids", "cash_balance", "invoice_credit_balance"},
    "checkout.session": {"line_items"},
    "coupon": {"applies_to", "currency_options"},
    "price": {"currency_options", "tiers"},
    "charge": {"refunds"},
    "account": {"settings", "capabilities", "company", "individual", "external_accounts", "future_requirements"},
}
"""Fields that are absent, rather than null, until they are expanded or set."""

_KINDS_WITH_ABSENT_FIELDS = {"payment_method", "refund", "account"}
"""Kinds whose optional fields belong to one variant each and are absent in the others."""


def new_id(prefix: str, *, length: int = 24) -> str:
    """Return a new ID such as `cus_…`."""
    return f"{prefix}_{''.join(_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(length))}"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The API request that causes an event."""

    request: str | None = None
    idempotency_key: str | None = None


@dataclass(kw_only=True)
class Account:
    """The state behind one secret key."""

    key: str
    id: str = field(default_factory=lambda: new_id("acct", length=16))
    settings: Settings = field(default_factory=Settings)
    scheduler: Scheduler = field(default_factory=Scheduler)
    faults: Faults = field(default_factory=Faults)
    rate_limits: RateLimits = field(default_factory=RateLimits)
    idempotency_keys: IdempotencyKeys = field(default_factory=IdempotencyKeys)
    requests: list[JsonObject] = field(default_factory=list)
    deliveries: list[JsonObject] = field(default_factory=list)
    outbox: list[JsonObject] = field(default_factory=list)
    """Events that are not yet handed to the webhook delivery."""
    request_context: RequestContext = field(default_factory=RequestContext)
    _by_kind: dict[str, dict[str, JsonObject]] = field(default_factory=dict)

    def now(self, clock_id: str | None = None) -> int:
        """Return the time of a test clock, or the system time, in whole seconds."""
        if clock_id is None:
            return clock.now()
        return int(self.get("test_helpers.test_clock", clock_id)["_time"])

    def now_for(self, customer_id: str | None) -> int:
        """Return the time that applies to a customer."""
        return self.now(self.clock_of(customer_id))

    def clock_of(self, customer_id: str | None) -> str | None:
        """Return the ID of a customer's test clock, if any."""
        customer = self._by_kind.get("customer", {}).get(customer_id or "")
        return customer.get("test_clock") if customer else None

    def add(self, obj: JsonObject) -> JsonObject:
        """Store a new object, with null for its nullable fields, and return it."""
        kind = obj["object"]
        if kind not in _KINDS_WITH_ABSENT_FIELDS:
            for name in _null_fields(kind):
                obj.setdefault(name, None)
        self._by_kind.setdefault(kind, {})[obj["id"]] = obj
        return obj

    def get(self, kind: str, object_id: str, *, param: str | None = None, status: int = 404) -> JsonObject:
        """
        Return an object that exists and is not deleted.

        :raises StripeError: `resource_missing`. 404 is for an ID in the path; pass 400 for one in a parameter.
        """
        found = self.find(kind, object_id)
        if found is None:
            raise missing(_DISPLAY_NAMES.get(kind, kind), object_id, param=param, status=status)
        return found

    def find(self, kind: str, object_id: str | None) -> JsonObject | None:
        """Return an object that exists and is not deleted, or None."""
        found = self._by_kind.get(kind, {}).get(object_id or "")
        return None if found is None or found.get("deleted") else found

    def find_with_deleted(self, kind: str, object_id: str) -> JsonObject | None:
        """Return an object, or the stub of a deleted one."""
        return self._by_kind.get(kind, {}).get(object_id)

    def find_by_id(self, object_id: str) -> JsonObject | None:
        """Return the object of any kind with this ID, or None."""
        for objects in self._by_kind.values():
            if object_id in objects:
                return objects[object_id]
        return None

    def all(self, kind: str) -> list[JsonObject]:
        """Return the objects of a kind that are not deleted, newest first."""
        return [obj for obj in reversed(self._by_kind.get(kind, {}).values()) if not obj.get("deleted")]

    def drop(self, obj: JsonObject) -> JsonObject:
        """Delete an object. Store and return the stub that Stripe keeps."""
        stub = {"id": obj["id"], "object": obj["object"], "deleted": True}
        self._by_kind[obj["object"]][obj["id"]] = stub
        return stub

    def copy_objects(self, source: "Account") -> None:
        """Replace the objects of this account with copies of another's, with the same IDs."""
        self._by_kind = {
            kind: {object_id: _copy_of(obj) for object_id, obj in objects.items()}
            for kind, objects in source._by_kind.items()
        }

    def render(self, obj: JsonObject) -> JsonObject:
        """Return a copy of an object as the API returns it, without private fields."""
        copy = {name: deep_copy(value) for name, value in obj.items() if not name.startswith("_")}
        renderer = RENDERERS.get(obj.get("object", ""))
        return renderer(self, copy) if renderer and not obj.get("deleted") else copy

    def emit(self, kind: str, obj: JsonObject, *, previous: JsonObject | None = None) -> None:
        """Create an event with the current state of an object."""
        data: JsonObject = {"object": self.render(obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(_clock_of(self, obj)),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.request_context.request, "idempotency_key": self.request_context.idempotency_key},
            "type": kind,
        }
        # An event's optional fields are absent rather than null, so `add` does not apply.
        self._by_kind.setdefault("event", {})[event["id"]] = event  # type: ignore[index]
        self.outbox.append(event)

    @contextmanager
    def track_changes(self, obj: JsonObject, event: str) -> Iterator[JsonObject]:
        """Create an event, with the previous attributes, if the block changes the object."""
        before = self.render(obj)
        yield obj
        previous = previous_attributes(before, self.render(obj))
        if previous:
            self.emit(event, obj, previous=previous)


@dataclass
class Accounts:
    """All accounts, each created at first use."""

    by_key: dict[str, Account] = field(default_factory=dict)
    seed: int = 0
    """The default seed of new accounts."""

    def get(self, key: str) -> Account:
        """Return the account of a secret key."""
        if key not in self.by_key:
            self.by_key[key] = Account(key=key, settings=Settings(seed=self.seed))
        return self.by_key[key]


def previous_attributes(before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the old values of what changed; for a nested object, only of the changed keys."""
    changed: JsonObject = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old != new:
            both = isinstance(old, dict) and isinstance(new, dict) and old.get("object") != "list"
            changed[name] = previous_attributes(old, new) if both else old  # type: ignore[arg-type]
    return changed


def deep_copy(value: Json) -> Json:
    """Return a deep copy of a JSON value. Faster than `copy.deepcopy`, which handles more types."""
    if isinstance(value, dict):
        return {name: deep_copy(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [deep_copy(inner) for inner in value]
    return value


def _copy_of(obj: JsonObject) -> JsonObject:
    return {name: deep_copy(value) for name, value in obj.items()}


@functools.cache
def _null_fields(kind: str) -> tuple[str, ...]:
    left_out = _EXPAND_ONLY.get(kind, set()) | {"deleted"}
    return tuple(name for name in responses.nullable_fields(kind) if name not in left_out)


_OWNERS = ("invoice", "charge", "payment_intent", "subscription")
"""Fields that lead from an object to one with a customer."""


def _clock_of(account: Account, obj: JsonObject) -> str | None:
    """Return the test clock of an object, of its customer, or of the object that it belongs to."""
    if obj["object"] == "test_helpers.test_clock":
        return obj["id"] if account.find(obj["object"], obj["id"]) else None
    own: Json = obj.get("test_clock") or obj.get("_test_clock")
    if isinstance(own, str):
        return own
    if isinstance(obj.get("customer"), str):
        return account.clock_of(obj["customer"])
    for name in _OWNERS:
        owner = account.find_by_id(obj[name]) if isinstance(obj.get(name), str) else None
        if owner is not None:
            return _clock_of(account, owner)
    return None


_DISPLAY_NAMES = {
    "test_helpers.test_clock": "test clock",
    "checkout.session": "checkout.session",
    "payment_method": "PaymentMethod",
}
"""Stripe's name of a kind in `No such …`, where it differs from `object`."""
