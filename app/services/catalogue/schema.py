"""The tables and values of the catalogue file, and the message for each that is invalid."""

import difflib
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.domain.branding import FONTS
from app.domain.guarantee import GuaranteeTerms
from app.domain.notifications import Channel, NotificationKind
from app.domain.plans import DIGITAL, PRINT

Title = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"^\S(.*\S)?$")]
Name = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
Code = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9-]*$")]
Amounts = dict[Annotated[str, StringConstraints(pattern="^[a-z]{3}$")], Annotated[int, Field(ge=0)]]
ReaderDays = Annotated[int | None, Field(ge=1, le=36500)]
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Contact = Annotated[
    str, StringConstraints(max_length=250, pattern=r"^(https://[^\s\"<>]+|[^\s@/:\"<>?]+@[^\s@/\"<>?]+)$")
]
LookupKey = Annotated[str, StringConstraints(max_length=200, pattern=r"^[a-z0-9_]+$")]

# The message for an invalid value of each key.
_MUST = {
    "publisher": "must be the magazine's name",
    "background": "must be a color such as #fffdf8",
    "text": "must be a color such as #1b1f24",
    "accent": "must be a color such as #1f4e79",
    "font": f"must be one of {', '.join(FONTS)}",
    "logo": "must be an https:// URL, or a file beside the catalogue file",
    "contact": "must be an email address or an https:// URL",
    "title": "must be one line of at most 250 characters, without spaces around it",
    "announced": "must be true or false",
    "available_from": "must be a time with a time zone, such as 2027-03-01T00:00:00Z",
    "issues": "must be a whole number of issues from 1 to 1000",
    "double_issues": "must be 1 or 2: how many of the issues owed a double issue serves",
    "grace_copies": "must be a whole number of issues from 0 to 24",
    "print_share": "must be a percentage from 0 to 100: what print is of the price of both editions",
    "interval": 'must be "year" or "month"',
    "features": "must be a list of at least one feature name",
    "days": "must be a whole number of days from 0 to 3650",
    "covers": 'must be "first_payment" or "renewals_too"',
    "once": "must be true (once for each subscriber) or false",
    "from": "must be a date, such as 2027-03-01",
    "changes": "must be a list of entries, each with the date from which it applies",
    "goodwill": "must be a list of entries, each with the date from which it applies",
    "comps": "must be a list of entries, each with the date from which it applies",
    "extensions": "must be a list of entries, each with the date from which it applies",
    "notices": "must be a list of entries, each with the date from which it applies",
    "kind": f"must be one of {', '.join(NotificationKind)}",
    "places": "must be a list of places, such as US, US-CA or EU",
    "channel": f"must be one of {', '.join(Channel)}",
    "template": "must be the name of a template: lowercase letters, digits and underscores",
    "paid_copies": "must be a list of entries, each with the date from which it applies",
    "percent": "must be a whole percentage from 0 to 100",
    "county": "must be a list of the beginnings of postal codes",
    "other_mail": "must be a list of postage bands",
    "claims": "must be a list of entries, each with the date from which it applies",
    "back_issues": "must be a list of entries, each with the date from which it applies",
    "holds": "must be a list of entries, each with the date from which it applies",
    "digital": 'must be "continues" or "pauses"',
    "copies": "must be a whole number of copies from 0 to 1000",
    "alone": "must be a table of amounts in minor units by currency, or of days, issues or copies: { usd = 2500 }",
    "in_a_day": "must be a table of amounts in minor units by currency, or of days, issues or copies: { usd = 5000 }",
    "reader_days": "must be a whole number of days from 1 to 36500",
    "policy": 'must be "anytime"',
    "lookup_key": "must be lowercase letters, digits and underscores, at most 200",
    "amount": "must be a whole number of minor units above zero",
    "locked": "must be true (subscribers keep this price) or false",
    "earlier": "must be a list of earlier prices, such as { amount = 3900, locked = true }",
    "currency": "must be a currency code of three lowercase letters, such as usd",
    "tax_code": "must be a Stripe tax code, such as txcd_10303002",
    "tax_behavior": 'must be "inclusive", "exclusive" or "unspecified"',
    "postage_band": "must be at most 40 lowercase letters, digits and underscores",
    "mailed_from": "must be the country that copies are mailed from, such as US",
    "bands": "must be a table of postage bands, each [print.bands.<name>]",
    "countries": "must be a list of country codes, at least one",
    "columns": 'must be a table of headers, each with a field of a label, such as Name = "name"',
    "ships_to": "must be a list of country codes, at least one",
    "disputes": "must be a list of tables, each [[policies.disputes]]",
    "since": "must be a time with a time zone, such as 2026-01-01T00:00:00Z",
    "dispute": 'must be "suspend" or "keep"',
    "fraud_warning": 'must be "refund" or "keep"',
    "failed_refund": 'must be "ended" or "restore"',
}
_MUST_BE_NAMED = {
    "features": "a feature's name must be at most 40 lowercase letters, digits and underscores, starting with a letter",
    "print": "a postage band's name must be at most 40 lowercase letters, digits and underscores, starting with a letter",
    "plans": "a plan's code must be at most 40 lowercase letters, digits and hyphens, starting with a letter",
}
_KEYS = (
    *_MUST,
    "brand",
    "dark",
    "features",
    "plans",
    "prices",
    "guarantee",
    "cancellation",
    "policies",
    DIGITAL,
    PRINT,
)


class Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FeatureTable(Table):
    title: Title
    announced: bool = False
    available_from: AwareDatetime | None = None


Covers = Literal["first_payment", "renewals_too"]


class GuaranteeChangeTable(Table):
    since: date = Field(alias="from")
    days: int = Field(ge=0, le=3650)
    covers: Covers = "first_payment"
    once: bool = True

    def terms(self) -> GuaranteeTerms:
        return GuaranteeTerms(days=self.days, renewals=self.covers == "renewals_too", once=self.once)


class GuaranteeTable(Table):
    days: int = Field(ge=0, le=3650)
    title: Title
    covers: Covers = "first_payment"
    once: bool = True
    changes: list[GuaranteeChangeTable] = []

    def terms(self) -> GuaranteeTerms:
        return GuaranteeTerms(days=self.days, renewals=self.covers == "renewals_too", once=self.once)


class GoodwillTable(Table):
    """Amounts in minor units, by currency."""

    since: date = Field(alias="from")
    alone: Amounts
    in_a_day: Amounts | None = None
    reader_days: ReaderDays = None


class DaysTable(Table):
    """A number of days."""

    days: int = Field(ge=0, le=3650)


class CompsTable(Table):
    """Days of complimentary access."""

    since: date = Field(alias="from")
    alone: DaysTable
    in_a_day: DaysTable | None = None
    reader_days: ReaderDays = None


class IssuesTable(Table):
    """A number of issues."""

    issues: int = Field(ge=1, le=1000)


class ExtensionsTable(Table):
    """Issues that are added to a term."""

    since: date = Field(alias="from")
    alone: IssuesTable
    in_a_day: IssuesTable | None = None
    reader_days: ReaderDays = None


class CopiesTable(Table):
    """A number of copies."""

    copies: int = Field(ge=0, le=1000)


class ClaimsTable(Table):
    """Copies that readers claim, and until how many days after mailing."""

    since: date = Field(alias="from")
    days: int = Field(ge=0, le=3650)
    alone: CopiesTable
    in_a_day: CopiesTable | None = None
    reader_days: ReaderDays = None


class BackIssuesTable(Table):
    """Earlier issues that the desk sends."""

    since: date = Field(alias="from")
    alone: CopiesTable
    in_a_day: CopiesTable | None = None
    reader_days: ReaderDays = None


class HoldsTable(Table):
    """How long copies can be on hold, and whether digital access continues meanwhile."""

    since: date = Field(alias="from")
    days: int = Field(ge=1, le=3650)
    days_in_a_year: int | None = Field(default=None, ge=1, le=365)
    digital: Literal["continues", "pauses"] = "continues"


class CancellationTable(Table):
    policy: Literal["anytime"]
    title: Title


class EarlierPriceTable(Table):
    """A price that was sold before, in the same currency."""

    amount: int = Field(gt=0)
    locked: bool


class PriceTable(Table):
    title: Title
    lookup_key: LookupKey
    amount: int = Field(gt=0)
    currency: str = Field(pattern="^[a-z]{3}$")
    tax_code: str = Field(pattern=r"^txcd_\d{8}$")
    tax_behavior: Literal["inclusive", "exclusive", "unspecified"]
    locked: bool = False
    earlier: list[EarlierPriceTable] = []


class PrintPriceTable(PriceTable):
    postage_band: Name
    ships_to: list[str] = Field(min_length=1)


class PricesTable(Table):
    digital: PriceTable
    print: PrintPriceTable | None = None

    def each(self) -> Iterator[tuple[str, PriceTable]]:
        yield DIGITAL, self.digital
        if self.print is not None:
            yield PRINT, self.print


class PlanTable(Table):
    title: Title
    issues: int = Field(ge=1, le=1000)
    interval: Literal["year", "month"]
    features: list[str] = Field(min_length=1)
    guarantee: GuaranteeTable
    cancellation: CancellationTable
    prices: PricesTable
    retired: bool = False
    double_issues: Literal[1, 2] = 2
    grace_copies: int = Field(default=0, ge=0, le=24)
    print_share: float | None = Field(default=None, ge=0, le=100)


class DisputesTable(Table):
    since: AwareDatetime
    dispute: Literal["suspend", "keep"]
    fraud_warning: Literal["refund", "keep"]
    failed_refund: Literal["ended", "restore"]


class PaidCopiesTable(Table):
    """The least percentage of the basic price that makes a copy a paid one."""

    since: date = Field(alias="from")
    percent: int = Field(ge=0, le=100)


class NoticeTable(Table):
    """What readers are told: a kind, for whom, how many days ahead and how."""

    since: date = Field(alias="from")
    kind: NotificationKind = Field(strict=False)
    places: list[str] = []
    days: int | None = None
    channel: Channel = Field(default=Channel.EMAIL, strict=False)
    template: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None


class PoliciesTable(Table):
    notices: list[NoticeTable] | None = None
    disputes: list[DisputesTable] = Field(default_factory=list)
    goodwill: list[GoodwillTable] = Field(default_factory=list)
    comps: list[CompsTable] = Field(default_factory=list)
    extensions: list[ExtensionsTable] = Field(default_factory=list)
    claims: list[ClaimsTable] = Field(default_factory=list)
    back_issues: list[BackIssuesTable] = Field(default_factory=list)
    holds: list[HoldsTable] = Field(default_factory=list)
    paid_copies: list[PaidCopiesTable] = Field(default_factory=list)


class DarkTable(Table):
    background: Color | None = None
    text: Color | None = None
    accent: Color | None = None


class BrandTable(DarkTable):
    font: Literal["system", "sans", "humanist", "geometric", "serif", "old-style", "slab", "mono"] = "system"
    logo: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\s\"<>;,]+$")] | None = None
    contact: Contact | None = None
    dark: DarkTable = Field(default_factory=DarkTable)


class BandTable(Table):
    title: Title
    countries: list[str] = Field(min_length=1)


class PrintTable(Table):
    """How copies are mailed. The columns of the label file: each header with its field."""

    mailed_from: str = Field(pattern="^[A-Z]{2}$")
    bands: dict[Name, BandTable] = Field(min_length=1)
    columns: dict[Title, str] = Field(default_factory=dict)
    county: list[Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{1,10}$")]] = []
    other_mail: list[Name] = []


class CatalogueFile(Table):
    publisher: Title
    brand: BrandTable = Field(default_factory=BrandTable)
    features: dict[Name, FeatureTable] = Field(min_length=1)
    plans: dict[Code, PlanTable] = Field(min_length=1)
    policies: PoliciesTable = Field(default_factory=PoliciesTable)
    print: PrintTable | None = None


Problem = tuple[str, str]  # the dotted key, and the message


def problem_of(where: tuple[int | str, ...], kind: str) -> Problem:
    """Return the problem for one of pydantic's errors."""
    names = [part for part in where if isinstance(part, str)]
    if names[-1] == "[key]":
        return ".".join(str(part) for part in where[:-1]), _MUST_BE_NAMED.get(names[0]) or _MUST[names[-3]]
    key = ".".join(str(part) for part in where)
    if kind == "missing":
        return key, "is missing"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(names[-1], _KEYS, n=1)
        return key, f"unknown key; did you mean {close[0]}?" if close else "unknown key"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return key, "must be a table"
    if kind == "too_short" and len(where) == 1:
        return key, "must not be empty"
    return key, _MUST.get(names[-1]) or _MUST[names[-2]]
