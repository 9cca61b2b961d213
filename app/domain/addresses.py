"""
Postal addresses: where a reader's copies go, and from which issue a change counts.

A reader has one permanent address, and temporary ones for a period. A copy goes to the address that is valid on the day
it is mailed, as the addresses were known at the label cut-off. What can't be delivered is kept and listed, so that it
can be repaired.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Self

from app.domain.errors import Conflict, Invalid
from app.domain.issues import Calendar, Issue

LONGEST_LINE = 100  # characters; a mailing label holds about half of it
FIELDS = ("name", "company", "line1", "line2", "district", "city", "region", "postal_code", "country")
TEMPORARY_UNTIL = timedelta(days=730)  # from today: a temporary address is over by then
MAX_TEMPORARY = 20  # addresses of one reader that are not over


class AddressIncomplete(Invalid):
    """A part of the address is missing, too long or unknown. Each problem names its field."""

    code = "address_incomplete"
    title = "Incomplete address"


class TemporaryDatesWrong(Invalid):
    """A temporary address needs a first day, and a later day within two years from which the permanent one counts again."""

    code = "temporary_dates_wrong"
    title = "Invalid dates of a temporary address"


class CountryNotServed(Conflict):
    """The publisher doesn't mail the print edition to this country."""

    code = "country_not_served"
    title = "Print isn't mailed to this country"


class TemporaryAddressOverlaps(Conflict):
    """The reader has another temporary address at that time."""

    code = "temporary_address_overlaps"
    title = "Overlapping temporary addresses"


class ProblemCode(StrEnum):
    """A problem with a field of an address."""

    REQUIRED = "required"
    INVALID = "invalid"  # differs from the country's format; labels are printed all the same
    TOO_LONG = "too_long"
    NOT_SERVED = "country_not_served"
    UNKNOWN_COUNTRY = "unknown_country"


_TITLES = {
    "name": "The name",
    "company": "The company",
    "line1": "The street address",
    "line2": "The second line",
    "district": "The district",
    "city": "The city",
    "region": "The state or province",
    "postal_code": "The postal code",
    "country": "The country",
}
_MESSAGES = {
    ProblemCode.REQUIRED: "{title} is missing",
    ProblemCode.INVALID: "{title} doesn't look like one of this country",
    ProblemCode.TOO_LONG: "{title} must have at most {longest} characters",
    ProblemCode.NOT_SERVED: "The print edition isn't mailed to this country",
    ProblemCode.UNKNOWN_COUNTRY: "{title} must be a code of two letters, such as US",
}
PRINTED_ALL_THE_SAME = frozenset({ProblemCode.INVALID})


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressProblem:
    """A field of an address, and what is wrong with it."""

    field: str
    code: ProblemCode

    @property
    def message(self) -> str:
        """A sentence for the person who enters the address."""
        return _MESSAGES[self.code].format(title=_TITLES.get(self.field, self.field), longest=LONGEST_LINE)

    @property
    def stored(self) -> str:
        """The stored form."""
        return f"{self.field}:{self.code}"

    @classmethod
    def load(cls, stored: str) -> Self:
        """Return the problem from its stored form."""
        field, _, code = stored.partition(":")
        return cls(field=field, code=ProblemCode(code))


@dataclass(frozen=True, slots=True, kw_only=True)
class PostalAddress:
    """An address. ``district`` is a part of a city, ``region`` a state or province, ``country`` an ISO 3166 code."""

    name: str
    line1: str
    country: str
    company: str = ""
    line2: str = ""
    district: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""

    def fields(self) -> dict[str, str]:
        """Return the value of each field."""
        return {name: getattr(self, name) for name in FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAddress:
    """An address, how it is written on a label, and what is wrong with it."""

    address: PostalAddress
    lines: tuple[str, ...]  # without the country, if copies are mailed within it
    problems: tuple[AddressProblem, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether labels are printed. A doubt about a format doesn't stop a copy."""
        return all(problem.code in PRINTED_ALL_THE_SAME for problem in self.problems)


def check_complete(checked: CheckedAddress) -> None:
    """
    Check an address that somebody enters. Doubts about a format are only warnings.

    :raises AddressIncomplete: a part is missing, too long or unknown.
    """
    wrong = [one for one in checked.problems if one.code not in {ProblemCode.INVALID, ProblemCode.NOT_SERVED}]
    if wrong:
        raise AddressIncomplete(
            ". ".join(one.message for one in wrong),
            problems=[{"field": one.field, "code": str(one.code), "message": one.message} for one in wrong],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The days on which a temporary address is valid: from ``since`` until the day before ``until``."""

    since: date
    until: date

    def overlaps(self, other: "Period") -> bool:
        """Return whether two periods have a day in common."""
        return self.since < other.until and other.since < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAddress:
    """A reader's address, as it is stored."""

    id: str  # adr_…
    checked: CheckedAddress
    saved_at: datetime
    period: Period | None = None  # None: the permanent address


def period_of(since: date | None, until: date | None) -> Period | None:
    """
    Return the period of a temporary address; None for a permanent one.

    :raises TemporaryDatesWrong: one of the dates is missing, or they are in the wrong order.
    """
    if since is None and until is None:
        return None
    if since is None or until is None:
        raise TemporaryDatesWrong("A temporary address needs both dates, from and until")
    if until <= since:
        raise TemporaryDatesWrong("The end date must be after the start date")
    return Period(since=since, until=until)


def check_period(period: Period, *, today: date) -> None:
    """
    Check that a temporary address can count.

    :param today: in the publisher's time zone.
    :raises TemporaryDatesWrong: it is over already, or lasts too long.
    """
    latest = today + TEMPORARY_UNTIL
    if period.until <= today:
        raise TemporaryDatesWrong(f"The end date must be after today, {today}", today=str(today))
    if period.until > latest:
        raise TemporaryDatesWrong(f"The end date must be {latest} or earlier", latest=str(latest))


def check_overlaps(period: Period, others: Sequence[SavedAddress]) -> None:
    """
    Check that a temporary address doesn't overlap with others.

    :raises TemporaryAddressOverlaps: it does.
    """
    for other in others:
        if other.period is not None and other.period.overlaps(period):
            raise TemporaryAddressOverlaps(
                f"There is a temporary address from {other.period.since} until {other.period.until}",
                since=str(other.period.since),
                until=str(other.period.until),
            )


def clean(text: str) -> str:
    """Return a line of text with single spaces and without control characters."""
    visible = "".join(" " if unicodedata.category(one) in {"Cc", "Zl", "Zp"} else one for one in text)
    return " ".join(visible.split())


def counts_from(calendar: Calendar, now: datetime, period: Period | None = None) -> Issue | None:
    """
    Return the first issue on whose labels a change of the address is; None if it is not on the calendar yet.

    :param period: of a temporary address: the first issue that is mailed within it.
    """
    for issue in calendar.issues:
        is_open = issue.frozen_at is None and calendar.ends(issue.closes_on) > now
        if is_open and (period is None or period.since <= issue.mail_date < period.until):
            return issue
    return None
