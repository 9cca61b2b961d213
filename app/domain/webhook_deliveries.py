"""
Deliveries of events to webhook endpoints: when one is tried again, and when it is given up.

An endpoint gets the events of each reader in their order: the next one is sent when the one before was delivered or given
up. Waiting for it is no failure. A delivery may arrive twice, if the sender dies between sending it and recording that, or
if the response comes too late; both have the same ID.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from app.domain.errors import Invalid
from app.domain.outbox import OutboxType

RETRIED_FOR = timedelta(days=3)  # from the first attempt on
DELAYS = tuple(
    timedelta(seconds=one) for one in (5, 60, 300, 1800, 7200, 18_000, 36_000)
)  # after each failure; the last one repeats
TIMEOUT = timedelta(seconds=15)  # for a response
RESPONSE_BYTES = 1024  # of a response body that are read
GONE = 410  # the receiver says that it is gone for good
ASKS_TO_WAIT = frozenset({429, 503})  # RFC 9110, section 10.2.3, and RFC 6585, section 4: with ``Retry-After``
LONGEST_WAIT = timedelta(hours=1)  # that a receiver can ask for; it may ask again


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # it is sent as soon as the events of its reader before it are
    DELIVERED = "delivered"
    FAILED = "failed"  # given up
    CANCELED = "canceled"  # its endpoint was deleted


class InvalidReplay(Invalid):
    """The events to send again are not given: one event, or a period with an optional filter."""

    code = "invalid_replay"
    title = "Invalid replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """An event for an endpoint, and the last attempt to deliver it."""

    endpoint_id: str
    sequence: int
    event_id: str
    type: str
    subscriber_id: str | None
    status: str
    attempts: int
    created_at: datetime
    first_tried_at: datetime | None
    last_tried_at: datetime | None
    finished_at: datetime | None
    response_status: int | None
    error: str | None  # why there was no response
    response_body: str | None  # its beginning
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """What came of an attempt. ``status`` is None if there was no response; then ``error`` says why."""

    status: int | None
    error: str | None
    body: str
    took: timedelta
    retry_after: timedelta | None = None  # what the receiver asked for, at most LONGEST_WAIT

    @property
    def is_success(self) -> bool:
        """Whether the event was received. A redirect isn't followed, so it is a failure."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver says that it is gone for good."""
        return self.status == GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredEvent:
    """An event as it is sent."""

    id: str
    type: str
    version: int
    sequence: int
    created_at: datetime
    subscriber_id: str | None
    sub: str | None
    data: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """
    Which events are sent again: one, or those of a period.

    :param types: empty: all that the endpoint wants.
    :param only_undelivered: leave out what was delivered.
    """

    event_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    types: Sequence[str] = ()
    subscriber_id: str | None = None
    only_undelivered: bool = True

    def __post_init__(self) -> None:
        """
        Check that it says what to send.

        :raises InvalidReplay: it names neither an event nor a period, or both.
        """
        if (self.event_id is None) == (self.since is None):
            raise InvalidReplay("Name an event, or the beginning of a period")
        if self.event_id is not None and (self.until or self.types or self.subscriber_id):
            raise InvalidReplay("A filter is for a period, not for one event")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise InvalidReplay("The period ends before it begins")


def wait_asked_for(status: int, header: str | None, *, now: datetime) -> timedelta | None:
    """
    Return how long a receiver asks to wait with ``Retry-After``; None: it doesn't, or not in a known form.

    It has seconds, or a date (RFC 9110, section 10.2.3).
    """
    if status not in ASKS_TO_WAIT or header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)  # more digits are longer than that anyway
    try:
        until = parsedate_to_datetime(text)
        if until.tzinfo is None:  # "-0000": no zone is known
            until = until.replace(tzinfo=UTC)
        return min(max(until - now, timedelta(0)), LONGEST_WAIT)
    except (ValueError, OverflowError):  # a day, a year or a zone may have any number of digits
        return None


def next_delay(
    attempts: int, *, first_tried_at: datetime, now: datetime, jitter: float, asked: timedelta | None = None
) -> timedelta | None:
    """
    Return how long to wait before the next attempt; None: it is given up.

    The last attempt is three days after the first.

    :param attempts: so far, at least 1.
    :param jitter: from 0 to 1, chosen at random: it adds up to a tenth.
    :param asked: how long the receiver asked to wait. It makes the delay longer, never shorter.
    """
    left = first_tried_at + RETRIED_FOR - now
    if left <= timedelta(0):
        return None
    delay = DELAYS[min(attempts, len(DELAYS)) - 1]
    return min(max(delay, asked or delay) + delay * 0.1 * jitter, left)


def body_of(event: DeliveredEvent) -> dict[str, object]:
    """Return the body of a webhook: the form that Standard Webhooks recommends, with the reader and the order."""
    reader = {"id": event.subscriber_id, "sub": event.sub} if event.subscriber_id is not None else None
    return {
        "id": event.id,
        "type": event.type,
        "version": event.version,
        "timestamp": event.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "sequence": event.sequence,
        "reader": reader,
        "data": event.data,
    }


TEST_DATA: dict[str, object] = {"message": "This is a test. Nothing happened."}
TEST_TYPE = OutboxType.WEBHOOK_TEST
