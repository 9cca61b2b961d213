"""
Evidence for a dispute: what a reader agreed to, paid, got and was told, as one text and as the fields that Stripe asks for.

Stripe's fields and limits: docs.stripe.com/api/disputes/evidence_object. Its fields for files (``customer_communication``,
``service_documentation``, ``cancellation_policy``, ``refund_policy``, ``receipt``) take no text; the whole file can be
uploaded as one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from app.domain.consents import Consent
from app.domain.declarations import Declaration
from app.domain.history import HistoryEntry
from app.domain.sent_copies import SentCopy
from app.domain.subscriptions import Payment
from app.domain.text import Wording

LONGEST_FIELD, LONGEST_TOGETHER = 20_000, 150_000  # characters
CUT = "\n[…]"


class Writing(Wording, Protocol):
    """Writes days, too."""

    def day(self, day: date) -> str:
        """Return a day of the publisher's calendar."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was sent to the reader, as it was."""

    kind: str
    channel: str
    at: datetime
    result: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is kept about one reader, the newest first."""

    publisher: str
    subscriber_id: str
    name: str | None
    email: str | None
    address: Sequence[str]  # the lines of the permanent address
    created_at: datetime
    consents: Sequence[Consent]
    declarations: Sequence[Declaration]
    payments: Sequence[Payment]
    copies: Sequence[SentCopy]
    history: Sequence[HistoryEntry]  # the oldest first
    messages: Sequence[Message] = ()

    @property
    def agreed(self) -> Consent | None:
        """The newest consent that led to a subscription, else the newest."""
        paid = [one for one in self.consents if one.stripe_subscription_id is not None]
        return next(iter(paid or self.consents), None)


def evidence_text(found: Evidence, writing: Writing) -> str:
    """Return all of it as one text, in the order in which a bank reads it."""
    sections = {
        "Reader": _reader(found),
        "What was agreed": [line for one in found.consents for line in _consent(one)],
        "History": [one.words for one in found.history],
        "Printed copies": [_copy(one, writing) for one in found.copies],
        "Messages": [line for one in found.messages for line in _message(one)],
        "Withdrawals and cancellations": [line for one in found.declarations for line in _declaration(one)],
    }
    head = [f"{found.publisher}: evidence about {found.subscriber_id}", f"Made on {_moment(found.created_at)}"]
    parts = ["\n".join(head)]
    parts += [
        f"{title}\n{'-' * len(title)}\n" + "\n".join(lines or ["Nothing recorded."])
        for title, lines in sections.items()
    ]
    return "\n\n".join(parts) + "\n"


def stripe_fields(found: Evidence, writing: Writing) -> Mapping[str, str]:
    """
    Return the text for each of Stripe's evidence fields that is known, within Stripe's limits.

    A text that is too long is cut at a line. If all together are too long, the history gives way.
    """
    agreed = found.agreed
    shown = agreed.shown if agreed is not None else {}
    seen_at = f"Shown on {_moment(agreed.agreed_at)}, before the payment page: " if agreed is not None else ""
    fields = {
        "customer_name": found.name or "",
        "customer_email_address": found.email or "",
        "customer_purchase_ip": (agreed.details.ip or "") if agreed is not None else "",
        "billing_address": "\n".join(found.address),
        "shipping_address": "\n".join(found.address) if found.copies else "",
        "shipping_date": ", ".join(sorted({writing.day(one.mail_date) for one in found.copies[:1]})),
        "service_date": writing.date(found.payments[0].paid_at) if found.payments else "",
        "product_description": _product(shown),
        "refund_policy_disclosure": f"{seen_at}{shown['guarantee']}" if shown.get("guarantee") else "",
        "cancellation_policy_disclosure": f"{seen_at}{shown['renewal']}" if shown.get("renewal") else "",
        "access_activity_log": "\n".join(one.words for one in found.history),
        "uncategorized_text": evidence_text(found, writing),
    }
    cut = {name: cut_to(text, LONGEST_FIELD) for name, text in fields.items() if text}
    together = sum(map(len, cut.values()))
    if together > LONGEST_TOGETHER and "access_activity_log" in cut:
        log = cut["access_activity_log"]
        cut["access_activity_log"] = cut_to(log, max(0, len(log) - (together - LONGEST_TOGETHER)))
    return cut


def cut_to(text: str, longest: int) -> str:
    """Return a text of at most ``longest`` characters, cut after a line if it has several."""
    if len(text) <= longest:
        return text
    kept = text[: max(0, longest - len(CUT))]
    at_line, _, _ = kept.rpartition("\n")
    return ((at_line or kept) + CUT)[:longest]


def _product(shown: Mapping[str, object]) -> str:
    if not shown:
        return ""
    offer = shown.get("offer")
    lines = [str(one) for one in offer] if isinstance(offer, list) else []
    return "\n".join([f"{shown.get('publisher')}: {shown.get('title')}", *lines, str(shown.get("renewal"))])


def _reader(found: Evidence) -> list[str]:
    return [line for line in (found.name, found.email, *found.address) if line]


def _consent(one: Consent) -> Iterable[str]:
    shown = one.shown
    paid = f"paid: subscription {one.stripe_subscription_id}" if one.stripe_subscription_id else "not paid"
    yield f"{_moment(one.agreed_at)}: {shown.get('title')}, {_total(shown)} ({paid})"
    yield f"  {shown.get('renewal')}"
    for label, value in (
        ("Guarantee", shown.get("guarantee")),
        ("Promotion code", shown.get("promotion_code")),
        ("Terms", one.details.terms_version),
        ("IP address", one.details.ip),
        ("Browser", one.details.user_agent),
        ("Version of the offer", shown.get("version")),
        ("Fingerprint", one.digest),
    ):
        if value:
            yield f"  {label}: {value}"


def _total(shown: Mapping[str, object]) -> str:
    total = shown.get("total")
    return str(total.get("formatted")) if isinstance(total, dict) else ""


def _copy(one: SentCopy, writing: Writing) -> str:
    to = f", to {', '.join(one.lines)}" if one.lines else ""
    return f"No. {one.issue_number}, {one.title}: mailed on {writing.day(one.mail_date)}{to}"


def _message(one: Message) -> Iterable[str]:
    yield f"{_moment(one.at)}: {one.kind} by {one.channel}, {one.result}"
    yield from (f"  {line}" for line in one.text.splitlines())


def _declaration(one: Declaration) -> Iterable[str]:
    yield f"{_moment(one.received_at)}: {one.kind} ({one.id}), {one.status}"
    yield from (f"  {line}" for line in one.acknowledgment.splitlines())


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
