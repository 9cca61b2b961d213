"""
Declarations: what a reader declares to leave a contract, a withdrawal or a cancellation, and the acknowledgment of it.

A declaration takes effect when it arrives, so it is stored with its time before anything else follows from it. Its words and
its acknowledgment never change: a reader and the publisher may both need to prove them. Sources: Directive 2011/83/EU,
article 11a (inserted by Directive (EU) 2023/2673), and section 312k of the German Civil Code (BGB).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from app.domain.errors import Conflict
from app.domain.money import Money
from app.domain.places import Place
from app.domain.text import Wording

GERMAN_SPEAKING = frozenset({"AT", "DE", "LI"})


class AlreadyWithdrawn(Conflict):
    """The reader has already withdrawn from this contract."""

    code = "already_withdrawn"
    title = "Already withdrawn"


class DeclarationKind(StrEnum):
    """What the reader declares."""

    WITHDRAWAL = "withdrawal"
    CANCELLATION = "cancellation"


class Channel(StrEnum):
    """How a declaration arrived."""

    READER = "reader"  # signed in, on the hosted account or through the publisher's site
    PAGE = "page"  # without a sign-in
    STAFF = "staff"  # entered by staff, from a letter for example


class DeclarationStatus(StrEnum):
    """What became of it."""

    DONE = "done"
    QUEUED = "queued"  # staff have to act
    SETTLED = "settled"  # staff acted


class Language(StrEnum):
    """A language in which acknowledgments are written."""

    ENGLISH = "en"
    GERMAN = "de"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A declaration as it was received."""

    id: str  # dcl_…
    kind: DeclarationKind
    channel: Channel
    received_at: datetime
    subscriber_id: str | None  # None: not known whose it is
    subscription_id: str | None
    words: Mapping[str, str] = field(default_factory=dict)  # what was entered
    place: str | None = None  # of the reader, see app.domain.places
    law: str | None = None  # the code of the law that gives the right
    acknowledgment: str = ""
    status: DeclarationStatus = DeclarationStatus.DONE
    ends_at: datetime | None = None  # when the contract ends; None: staff decide
    refund_id: str | None = None  # the first of the refunds that it requested
    settled_by: str | None = None
    settled_at: datetime | None = None


class Writing(Wording, Protocol):
    """Writes times, too."""

    def date_and_time(self, at: datetime) -> str:
        """Return the date, the time and its zone, such as ``Mar 3, 2027, 2:05 PM CST``."""
        ...


def language_of(place: Place) -> Language:
    """Return the language in which a reader of a place is written to."""
    return Language.GERMAN if place.country in GERMAN_SPEAKING else Language.ENGLISH


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What an acknowledgment says."""

    kind: DeclarationKind
    publisher: str
    id: str
    received_at: datetime
    contract: str
    name: str | None = None
    email: str | None = None
    words: Mapping[str, str] = field(
        default_factory=dict
    )  # further lines: a label in the language, and what was entered
    ends_at: datetime | None = None
    refund: Money | None = None
    is_queued: bool = False


_LABELS: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: {
        DeclarationKind.WITHDRAWAL: "Acknowledgment of your withdrawal from the contract",
        DeclarationKind.CANCELLATION: "Acknowledgment of your cancellation",
        "received": "Received",
        "reference": "Reference",
        "contract": "Contract",
        "name": "Name",
        "email": "Email address",
        "ends": "Ends on",
        "refund": "Refund",
        "queued": "We’ll check your declaration and write to you. It counts from the time above.",
        "keep": "Please keep this acknowledgment.",
    },
    Language.GERMAN: {
        DeclarationKind.WITHDRAWAL: "Bestätigung Ihres Widerrufs",
        DeclarationKind.CANCELLATION: "Bestätigung Ihrer Kündigung",
        "received": "Eingegangen",
        "reference": "Vorgang",
        "contract": "Vertrag",
        "name": "Name",
        "email": "E-Mail-Adresse",
        "ends": "Endet am",
        "refund": "Erstattung",
        "queued": "Wir prüfen Ihre Erklärung und schreiben Ihnen. Sie gilt ab dem genannten Zeitpunkt.",
        "keep": "Bitte bewahren Sie diese Bestätigung auf.",
    },
}


def acknowledgment(said: Acknowledged, language: Language, writing: Writing) -> str:
    """Return the text of an acknowledgment, a fact on each line. It has the time in the publisher's zone and in UTC."""
    labels = _LABELS[language]
    received = f"{writing.date_and_time(said.received_at)} ({said.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"
    facts = {
        labels["received"]: received,
        labels["reference"]: said.id,
        labels["contract"]: said.contract,
        labels["name"]: said.name,
        labels["email"]: said.email,
        **said.words,
        labels["ends"]: writing.date(said.ends_at) if said.ends_at is not None else None,
        labels["refund"]: writing.money(said.refund.amount, said.refund.currency) if said.refund is not None else None,
    }
    lines = [said.publisher, labels[said.kind], ""]
    lines += [f"{name}: {_one_line(value)}" for name, value in facts.items() if value]
    lines += ["", *([labels["queued"]] if said.is_queued else []), labels["keep"]]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Return a text without line breaks, so that what was entered can't look like a fact of ours."""
    return " ".join(text.split())
