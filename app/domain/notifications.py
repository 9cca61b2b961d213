"""
Notifications: what readers are told by email, by which rule, and what is promised about each.

A notification is one row for each kind and for what it is *about* (a term, an invoice, a refund), so it is sent once. When
it is due, its text is rendered and stored, and only then handed to the mail server. If the process is killed between the
two, nobody knows whether the message left. What happens then is decided by kind, see :attr:`Kind.repeats`.

The status hint that the API calls ``notice`` is another thing: :mod:`app.domain.notices`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

GIVE_UP_AFTER = timedelta(
    days=3
)  # of temporary refusals; RFC 5321, section 4.5.4.1, asks for 4 to 5 days of a mail server
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=4)


class NotificationKind(StrEnum):
    """What a notification tells."""

    RENEWAL_AHEAD = "renewal_ahead"
    YEARLY_REMINDER = "yearly_reminder"
    PRICE_CHANGE = "price_change"
    PRICE_UNCHANGED = "price_unchanged"  # a new price that was announced does not come
    TRIAL_ENDING = "trial_ending"
    PROMOTION_ENDING = "promotion_ending"
    PAYMENT_FAILED = "payment_failed"
    CONFIRMATION_NEEDED = "confirmation_needed"  # 3-D Secure
    CARD_EXPIRING = "card_expiring"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    ISSUE_DELAYED = "issue_delayed"
    ADDRESS_NEEDED = "address_needed"
    CANCELLATION_RECEIVED = "cancellation_received"  # without sign-in: the acknowledgement of receipt
    WITHDRAWAL_RECEIVED = "withdrawal_received"


class NotificationStatus(StrEnum):
    """How far a notification is. It is final from ``sent`` on."""

    SCHEDULED = "scheduled"
    SENDING = "sending"  # its text is stored; the mail server may have it
    SENT = "sent"  # the mail server accepted it
    HANDED_OVER = "handed_over"  # to the publisher's own mailer, as an event of the outbox
    REFUSED = "refused"  # by the mail server, for good
    FAILED = "failed"  # the mail server did not take it in time
    UNCERTAIN = "uncertain"  # it may have been sent, and is not sent again
    UNDELIVERED = "undelivered"  # email is off, or there is no address


class Channel(StrEnum):
    """How a notification reaches the reader."""

    EMAIL = "email"
    WEBHOOK = "webhook"  # as the event ``notice.due``, for the publisher's own mailer
    OFF = "off"  # somebody else tells the reader


FINAL = frozenset(NotificationStatus) - {NotificationStatus.SCHEDULED, NotificationStatus.SENDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """
    What is promised about a kind.

    ``repeats``: if it may have been sent when the process was killed, it is sent again with the same Message-ID, so it is
    sent at least once. Otherwise it is sent at most once, and staff see that it may be missing.
    """

    variables: frozenset[str]  # of its template, beside those of every template
    repeats: bool = True
    optional: bool = False  # the reader may unsubscribe from it: no law asks for it, and it concerns no payment


COMMON_VARIABLES = frozenset({"publisher", "contact", "site_url", "account_url"})


def _kind(variables: str = "", *, repeats: bool = True, optional: bool = False) -> Kind:
    return Kind(variables=frozenset(variables.split()), repeats=repeats, optional=optional)


KINDS: Mapping[NotificationKind, Kind] = {
    NotificationKind.RENEWAL_AHEAD: _kind("plan price discounted renews_at interval"),
    NotificationKind.YEARLY_REMINDER: _kind("plan price discounted renews_at since_at interval"),
    NotificationKind.PRICE_CHANGE: _kind("plan price discounted old_price total renews_at interval"),
    NotificationKind.PRICE_UNCHANGED: _kind("plan price discounted announced_price renews_at"),
    NotificationKind.TRIAL_ENDING: _kind("plan price discounted ends_at interval"),
    NotificationKind.PROMOTION_ENDING: _kind("plan price discounted ends_at interval"),
    NotificationKind.PAYMENT_FAILED: _kind("plan access_until pay_url card"),
    NotificationKind.CONFIRMATION_NEEDED: _kind("plan access_until pay_url card"),
    NotificationKind.CARD_EXPIRING: _kind("plan card expires_on renews_at", repeats=False),
    NotificationKind.CANCELED: _kind("plan canceled_at access_until notice_ends_at resumable unpaid started"),
    NotificationKind.REFUNDED: _kind("plan amount ended"),
    NotificationKind.ISSUE_DELAYED: _kind("issue planned_on expected_on", repeats=False, optional=True),
    NotificationKind.ADDRESS_NEEDED: _kind("plan", repeats=False),
    NotificationKind.CANCELLATION_RECEIVED: _kind("received_at name contract reference ends_on"),
    NotificationKind.WITHDRAWAL_RECEIVED: _kind("received_at name contract reference"),
}


TITLES: Mapping[NotificationKind, str] = {  # for staff
    NotificationKind.RENEWAL_AHEAD: "Notice of the renewal",
    NotificationKind.YEARLY_REMINDER: "Yearly reminder",
    NotificationKind.PRICE_CHANGE: "Notice of a new price",
    NotificationKind.PRICE_UNCHANGED: "Notice that the price stays",
    NotificationKind.TRIAL_ENDING: "Notice of the end of the trial",
    NotificationKind.PROMOTION_ENDING: "Notice of the end of the promotion",
    NotificationKind.PAYMENT_FAILED: "Failed payment",
    NotificationKind.CONFIRMATION_NEEDED: "Payment to confirm",
    NotificationKind.CARD_EXPIRING: "Expiring card",
    NotificationKind.CANCELED: "Confirmation of the cancellation",
    NotificationKind.REFUNDED: "Confirmation of the refund",
    NotificationKind.ISSUE_DELAYED: "Delayed issue",
    NotificationKind.ADDRESS_NEEDED: "Missing address",
    NotificationKind.CANCELLATION_RECEIVED: "Receipt of a cancellation",
    NotificationKind.WITHDRAWAL_RECEIVED: "Receipt of a withdrawal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification, with the text that was rendered when it was due."""

    id: str  # ntf_…
    kind: NotificationKind
    about: str
    subscriber_id: str | None
    subscription_id: str | None = None
    recipient: str | None = None  # an email address; None: the reader's at the time of sending
    locale: str | None = None  # None: the reader's at the time of sending
    data: Mapping[str, Any] = field(default_factory=dict)
    event_at: datetime | None = None  # when what it tells happens; policy time
    send_at: datetime  # policy time
    template: str | None = None  # None: the kind's
    status: NotificationStatus
    channel: Channel = Channel.EMAIL
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    rendered_at: datetime | None = None
    settled_at: datetime | None = None  # when the status became final
    result: str | None = None  # what the mail server said, or why it was not delivered
    bounced_at: datetime | None = None
    bounce: str | None = None
    attempts: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.status in FINAL

    @property
    def has_reached(self) -> bool:
        """Whether it counts as received: it was sent or handed over, and did not come back for good."""
        is_out = self.status in (NotificationStatus.SENT, NotificationStatus.HANDED_OVER)
        return is_out and self.bounced_at is None


def message_id(notification_id: str, sender: str) -> str:
    """Return the Message-ID of a notification, the same for each attempt: ``<ntf_…@domain of the sender>``."""
    return f"<{notification_id}@{sender.rpartition('@')[2].rstrip('>')}>"


def id_of(message: str) -> str:
    """Return the ID of a notification, from it or from a Message-ID: ``<ntf_…@example.com>``."""
    return message.strip().strip("<>").partition("@")[0]


def retry_after(attempts: int) -> timedelta:
    """Return the pause before the next attempt after a temporary refusal: it doubles each time."""
    return min(FIRST_RETRY * 2 ** min(attempts - 1, 16), LONGEST_RETRY) if attempts > 0 else FIRST_RETRY


def must_give_up(rendered_at: datetime, now: datetime) -> bool:
    """Return whether a notification that was temporarily refused since ``rendered_at`` is not tried again."""
    return now - rendered_at >= GIVE_UP_AFTER


def handed_over(due: Notification, *, recipient: str | None, text: Mapping[str, object]) -> dict[str, object]:
    """
    Return what the publisher's own mailer gets of a notification.

    :param text: the rendered subject, text and HTML, and their locale.
    """
    return {
        "notification": {
            "id": due.id,
            "kind": due.kind.value,
            "about": due.about,
            "to": recipient,
            "due_at": due.send_at.isoformat(),
            "data": dict(due.data),
            **text,
        }
    }


def money(amount: int, currency: str) -> dict[str, Any]:
    """Return an amount for the data of a notification. It is written in the reader's locale when the text is rendered."""
    return {"amount": amount, "currency": currency}
