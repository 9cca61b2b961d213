"""
Declarations: what a reader declares to leave a contract, a withdrawal or a cancellation, and the acknowledgment of it.

A declaration takes effect when it arrives, so it is stored with its time before anything else follows from it. Its words and
its acknowledgment never change: a reader and the publisher may both need to prove them. Sources: Directive 2011/83/EU,
article 11a (inserted by Directive (EU) 2023/2673), and section 312k of the German Civil Code (BGB).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Protocol

from app.domain.errors import Conflict, Invalid
from app.domain.money import Money
from app.domain.places import Place
from app.domain.reader_names import fold
from app.domain.text import Wording, is_showable

GERMAN_SPEAKING = frozenset({"AT", "DE", "LI"})


class AlreadyWithdrawn(Conflict):
    """The reader has already withdrawn from this contract."""

    code = "already_withdrawn"
    title = "Already withdrawn"


class CancellationInvalid(Invalid):
    """A part of a cancellation is missing or wrong."""

    code = "cancellation_invalid"
    title = "Invalid cancellation"


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

    RECEIVED = "received"  # not looked at yet, or ends early, and Stripe has yet to hear that it doesn't renew
    PENDING = "pending"  # the contract ends with its period; Stripe has yet to hear that it doesn't renew
    SCHEDULED = "scheduled"  # the contract ends early, and its unserved issues are refunded then
    REVOKED = "revoked"  # the reader resumed the subscription before
    DONE = "done"
    QUEUED = "queued"  # staff have to act
    SETTLED = "settled"  # staff acted


NOTICE_RUNS = frozenset({DeclarationStatus.RECEIVED, DeclarationStatus.SCHEDULED})
UNFINISHED = frozenset({DeclarationStatus.RECEIVED, DeclarationStatus.PENDING})  # a worker carries them out
REVOCABLE = NOTICE_RUNS | {DeclarationStatus.PENDING}  # by a reader who resumes the subscription


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


def notice_of(subscription_id: str, declarations: Iterable[Declaration]) -> datetime | None:
    """Return when a subscription ends at a month's notice; None: no notice runs."""
    running = (one for one in declarations if one.subscription_id == subscription_id and one.status in NOTICE_RUNS)
    return min((one.ends_at for one in running if one.ends_at is not None), default=None)


class CancellationType(StrEnum):
    """What a cancellation without a sign-in is."""

    ORDINARY = "ordinary"
    EXTRAORDINARY = "extraordinary"  # for cause, and so at once


LONGEST_LINE, LONGEST_EMAIL, LONGEST_REASON = 200, 254, 2000  # characters of what is entered; an address: RFC 5321


@dataclass(frozen=True, slots=True, kw_only=True)
class CancellationNotice:
    """A cancellation without a sign-in, as it was entered."""

    name: str
    email: str
    contract: str
    extraordinary: bool = False  # for cause, and so at once
    reason: str | None = None
    ends_on: date | None = None  # None: as early as possible
    language: Language = Language.ENGLISH

    def checked(self, *, today: date) -> "CancellationNotice":
        """
        Return the notice.

        :raises CancellationInvalid: an extraordinary one has no reason, a text can't be shown, or the end has passed.
        """
        for name in ("name", "email", "contract"):
            if not getattr(self, name).strip() or not is_showable(getattr(self, name)):
                raise CancellationInvalid(f"`{name}` is missing or has characters that can't be shown", field=name)
        if self.extraordinary and not (self.reason or "").strip():
            raise CancellationInvalid("An extraordinary cancellation needs a `reason`", field="reason")
        if self.ends_on is not None and self.ends_on < today:
            raise CancellationInvalid("`ends_on` must not be in the past", field="ends_on")
        return self

    @property
    def words(self) -> Mapping[str, str]:
        """What was entered, as it is stored."""
        said = {
            "name": self.name,
            "email": self.email,
            "contract": self.contract,
            "type": "extraordinary" if self.extraordinary else "ordinary",
            "reason": self.reason or "",
            "ends_on": self.ends_on.isoformat() if self.ends_on is not None else "",
            "language": str(self.language),
        }
        return {name: text for name, text in said.items() if text}

    @classmethod
    def load(cls, words: Mapping[str, str]) -> "CancellationNotice":
        """Return the notice from its stored form."""
        return cls(
            name=words["name"],
            email=words["email"],
            contract=words["contract"],
            extraordinary=words.get("type") == "extraordinary",
            reason=words.get("reason"),
            ends_on=date.fromisoformat(words["ends_on"]) if "ends_on" in words else None,
            language=Language(words.get("language", Language.ENGLISH)),
        )

    @property
    def shown(self) -> Mapping[str, str]:
        """The lines of the acknowledgment that only such a notice has."""
        labels = _NOTICE_LABELS[self.language]
        end = self.ends_on.isoformat() if self.ends_on is not None else labels["soonest"]
        said = {labels["type"]: labels["extraordinary" if self.extraordinary else "ordinary"], labels["end"]: end}
        return said | ({labels["reason"]: self.reason} if self.reason else {})

    def is_from(self, name: str | None, numbers: Collection[str]) -> bool:
        """
        Return whether the notice says more of the reader than an email address that others know too.

        :param name: the reader's.
        :param numbers: of their contract, as they appear on their invoices and in their account.
        """
        if name is not None and sorted(fold(name).split()) == sorted(fold(self.name).split()) != []:
            return True
        said = self.contract.casefold()
        return any(number.casefold() in said for number in numbers if len(number) >= SHORTEST_NUMBER)


SHORTEST_NUMBER = 6  # characters: a shorter one may be in a text by chance
_NOTICE_LABELS: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: {
        "type": "Type",
        "ordinary": "ordinary cancellation",
        "extraordinary": "extraordinary cancellation, for cause",
        "end": "Requested end",
        "soonest": "as early as possible",
        "reason": "Reason",
    },
    Language.GERMAN: {
        "type": "Art",
        "ordinary": "ordentliche Kündigung",
        "extraordinary": "außerordentliche Kündigung",
        "end": "Gewünschtes Ende",
        "soonest": "zum nächstmöglichen Zeitpunkt",
        "reason": "Grund",
    },
}


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
