"""
Stripe events. An event is only a request to refetch an object from Stripe.

The content of an event is not trusted, because deliveries repeat and arrive in any order. The key of a refetch names the
object to fetch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from app.domain.errors import Conflict, MalformedRequest, Unavailable


class RefetchKind(StrEnum):
    """The kind of object that is fetched from Stripe."""

    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"  # with its refunds, disputes and warnings
    PENDING_PAYMENT = "pending_payment"  # the subscription of its invoice
    CHARGE = "charge"  # the payment that it belongs to
    DISPUTE = "dispute"  # the payment that it belongs to, or none of ours
    INVOICE = "invoice"  # the subscription that it belongs to
    CREDITED_INVOICE = "credited"  # with the refunds of its payments
    CHECKOUT = "checkout"
    CUSTOMER = "customer"
    DUPLICATES = "rivals"  # a subscriber with several live subscriptions


LIST_PAGE_SIZE = 100


Place = tuple[RefetchKind, tuple[str, ...]]  # what is fetched, and the path to its ID in the object of the event


@dataclass(frozen=True, slots=True)
class EventFamily:
    """The event types about one type of Stripe object, such as ``invoice.*``."""

    # Where an object has the ID of what is fetched again, in the shape of any API version: the first place that has one
    # counts. Empty: nothing is fetched, the events are only stored.
    places: tuple[Place, ...]
    actions: tuple[str, ...]  # of the types that the webhook endpoint subscribes to; others that arrive count too
    unknown_shape: RefetchKind | None = None  # fetched by the object's own ID if it has none of the places

    @property
    def kind(self) -> str | None:
        """What is fetched in the current version."""
        return self.places[0][0] if self.places else None


_OF_LINES = ("lines", "data")
_PAYMENT: Place = (RefetchKind.PAYMENT, ("payment_intent",))
_CHARGE: Place = (RefetchKind.CHARGE, ("charge",))
FAMILIES: Mapping[str, EventFamily] = MappingProxyType(
    {
        "checkout.session": EventFamily(
            ((RefetchKind.CHECKOUT, ("id",)),),
            ("completed", "expired", "async_payment_succeeded", "async_payment_failed"),
        ),
        "customer": EventFamily(((RefetchKind.CUSTOMER, ("id",)),), ("updated", "deleted")),
        "customer.subscription": EventFamily(
            ((RefetchKind.SUBSCRIPTION, ("id",)),),
            (
                "created",
                "updated",
                "deleted",
                "paused",
                "resumed",
                "trial_will_end",
                "pending_update_applied",
                "pending_update_expired",
            ),
        ),
        "subscription_schedule": EventFamily(
            (
                (RefetchKind.SUBSCRIPTION, ("subscription",)),
                (RefetchKind.SUBSCRIPTION, ("released_subscription",)),
            ),
            (),
        ),
        "invoice": EventFamily(
            (
                (
                    RefetchKind.SUBSCRIPTION,
                    ("parent", "subscription_details", "subscription"),
                ),  # since 2025-03-31.basil
                (RefetchKind.SUBSCRIPTION, ("subscription",)),
                (
                    RefetchKind.SUBSCRIPTION,
                    (*_OF_LINES, "parent", "subscription_item_details", "subscription"),
                ),
                (RefetchKind.SUBSCRIPTION, (*_OF_LINES, "parent", "invoice_item_details", "subscription")),
                (RefetchKind.SUBSCRIPTION, (*_OF_LINES, "subscription")),
            ),
            (
                "created",
                "finalized",
                "finalization_failed",
                "paid",
                "payment_failed",
                "payment_action_required",
                "upcoming",
                "voided",
                "marked_uncollectible",
                "updated",
                "overdue",
            ),
            unknown_shape=RefetchKind.INVOICE,
        ),
        "invoice_payment": EventFamily(((RefetchKind.INVOICE, ("invoice",)),), ("paid",)),
        "payment_intent": EventFamily(
            ((RefetchKind.INVOICE, ("invoice",)),),  # until 2025-03-31.basil
            ("processing",),
            unknown_shape=RefetchKind.PENDING_PAYMENT,
        ),
        "refund": EventFamily((_PAYMENT, _CHARGE), ("created", "updated", "failed")),
        "charge": EventFamily(
            (
                _PAYMENT,
                (RefetchKind.CREDITED_INVOICE, ("invoice",)),  # until 2025-03-31.basil
                (RefetchKind.CHARGE, ("id",)),
            ),
            ("refunded",),
        ),
        "charge.refund": EventFamily((_PAYMENT, _CHARGE), ()),
        "credit_note": EventFamily(((RefetchKind.CREDITED_INVOICE, ("invoice",)),), ("created", "updated", "voided")),
        "charge.dispute": EventFamily(
            (_PAYMENT, (RefetchKind.PAYMENT, ("charge", "payment_intent")), (RefetchKind.DISPUTE, ("id",))),
            ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated"),
        ),
        "radar.early_fraud_warning": EventFamily((_PAYMENT, _CHARGE), ("created", "updated")),
        "payment_method": EventFamily((), ("attached", "automatically_updated", "detached")),
    }
)
TYPES = tuple(f"{name}.{action}" for name, family in FAMILIES.items() for action in family.actions)


def family_of(event_type: str) -> EventFamily | None:
    """Return the family of an event type; None if events of that type are not used."""
    return FAMILIES.get(event_type.rpartition(".")[0])


TYPES_WITH_EFFECT = tuple(name for name in TYPES if (family := family_of(name)) and family.kind)


class RefetchFirst(Exception):
    """Another object must be fetched first, because this object's parent is not stored yet."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class RefetchInstead(Exception):
    """The object is part of another one, which must be fetched instead, by one worker at a time."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class InvalidEvent(MalformedRequest):
    """The request is not a signed Stripe event."""

    code = "not_genuine"
    title = "Invalid Stripe event"


class EventNotStored(Unavailable):
    """The event could not be stored. Send it again."""

    code = "not_stored"
    title = "Event could not be stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefetchRequest:
    """The used parts of an event. ``key`` is ``<kind>:<id>``, or None if the event is ignored."""

    event_id: str
    type: str
    api_version: str | None
    livemode: bool | None
    object_id: str | None
    created_at: datetime | None
    key: str | None
    ignored: str | None  # why the event is ignored


def should_list(waiting: int, known: int, *, above: int) -> bool:
    """
    Return whether listing all subscriptions takes fewer calls than fetching the waiting ones individually.

    A call lists 100 subscriptions, needed or not, so fetching a few of many individually is cheaper.

    :param known: the number of subscriptions or of invoices, whichever is larger.
    :param above: the number of waiting subscriptions above which listing is considered.
    """
    return waiting > above and waiting * LIST_PAGE_SIZE > max(known, waiting)


def with_mode(refetch: RefetchRequest, *, livemode: bool) -> RefetchRequest:
    """Return the refetch, ignored if the event is from the other mode (test or live)."""
    if refetch.ignored is None and refetch.livemode is not None and refetch.livemode != livemode:
        other = "live" if refetch.livemode else "test"
        return replace(refetch, key=None, ignored=f"the event is from {other} mode")
    return refetch


class EventState(StrEnum):
    """The state of a received event."""

    RECEIVED = "received"  # waiting
    APPLIED = "applied"
    FAILED = "failed"  # will be tried again
    DEAD = "dead"  # failed permanently
    IGNORED = "ignored"


REPLAYABLE = (EventState.FAILED, EventState.DEAD)  # the default states of a replay


class SelectionChanged(Conflict):
    """The selection matches other events than before. List the events again before you replay them."""

    code = "selection_changed"
    title = "Selected events have changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter for stored events. A field that is None or empty matches all."""

    states: tuple[str, ...] = ()
    type: str | None = None  # exact, or a prefix with a star: customer.subscription.*
    object_id: str | None = None  # of the event's object, or of the object that is fetched for it
    key: str | None = None  # <kind>:<id>, as it is worked on
    since: datetime | None = None  # received then or later
    until: datetime | None = None  # received before

    def facts(self) -> dict[str, object]:
        """Return the filter for the audit log."""
        return {
            name: value
            for name, value in (
                ("states", list(self.states)),
                ("type", self.type),
                ("object", self.object_id),
                ("key", self.key),
                ("since", self.since.isoformat() if self.since else None),
                ("until", self.until.isoformat() if self.until else None),
            )
            if value
        }
