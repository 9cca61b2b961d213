"""
The circulation statement: the copies of each issue by kind, in the lines of the Postal Service's PS Form 3526.

The labels say who was sent a copy, and what was paid for its term. The press run and what was sold or given away outside the
mails are entered by hand. Percentages and sums follow from these. The average of an issue is made of the averages of its
parts, so its sums add up, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from fractions import Fraction
from math import floor

from app.domain.errors import Invalid
from app.domain.plans import DIGITAL, Catalogue

LONGEST_PERIOD = 400  # days
LARGEST_COUNT = 10**9
ELECTRONIC = "16a"  # the line of the electronic copies
PAID, FREE = ("15b1", "15b2", "15b3", "15b4"), ("15d1", "15d2", "15d3", "15d4")
EXCESS = "excess"  # no line: the copies of an issue beyond its press run, which is then wrong


class InvalidCirculationPeriod(Invalid):
    """The period of a circulation statement must begin before it ends, and be no longer than 400 days."""

    code = "invalid_circulation_period"
    title = "Invalid period of a circulation statement"


class MailClass(StrEnum):
    """How a label is mailed, in the terms of the form."""

    OUTSIDE_COUNTY = "outside_county"
    IN_COUNTY = "in_county"
    OTHER = "other_mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicPrice:
    """The basic price of a plan for one term, in minor units."""

    plan: str
    currency: str
    both_editions: int
    digital: int
    includes_tax: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingRules:
    """
    How copies are counted. A copy keeps the rules of the day on which its label was frozen.

    :param county: the beginnings of the postal codes of the county of publication.
    :param other_mail: the postage bands that are not mailed as Periodicals.
    :param paid_percent: the least percentage of the basic price that makes a copy paid.
    """

    mailed_from: str
    county: Sequence[str]
    other_mail: Sequence[str]
    prices: Sequence[BasicPrice]
    paid_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnteredCounts:
    """The figures of an issue that staff enter."""

    press_run: int
    dealer_sales: int = 0  # sold outside the mails, and single copies over the counter
    single_copies_mailed: int = 0  # sold and mailed at other classes
    free_outside_mail: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """The labels of an issue, by how they were mailed and whether they were paid for."""

    paid_outside_county: int = 0
    paid_in_county: int = 0
    paid_other_mail: int = 0
    free_outside_county: int = 0
    free_in_county: int = 0
    free_other_mail: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCirculation:
    """The circulation of an issue. ``entered`` is None until somebody enters it."""

    number: int
    mail_date: date
    labels: LabelCounts
    electronic: int  # paid subscriptions to the digital edition only
    entered: EnteredCounts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the form, with its figures. Percentages are in hundredths of a percent. None: see :class:`Statement`."""

    line: str
    title: str
    average: int
    nearest: int | None
    is_percentage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    The statement of a period.

    :param issues: the issues that it consists of, in order.
    :param nearest: the number of the issue that was mailed last in the period; None: none was. If it is missing, its figures
        are unknown: those of an earlier issue may not be filed instead.
    :param missing: issues without a press run or without frozen labels. They are left out.
    :param not_frozen: those of them whose labels are not frozen.
    """

    since: date
    until: date
    issues: Sequence[IssueCirculation]
    nearest: int | None
    missing: Sequence[int]
    not_frozen: Sequence[int]
    lines: Sequence[Line]


TITLES: Mapping[str, str] = {
    "15a": "Total number of copies (net press run)",
    "15b1": "Paid: mailed outside the county",
    "15b2": "Paid: mailed in the county",
    "15b3": "Paid: sold outside the mails",
    "15b4": "Paid: mailed at other classes",
    "15c": "Total paid distribution",
    "15d1": "Free or nominal rate: mailed outside the county",
    "15d2": "Free or nominal rate: mailed in the county",
    "15d3": "Free or nominal rate: mailed at other classes",
    "15d4": "Free or nominal rate: outside the mails",
    "15e": "Total free or nominal rate distribution",
    "15f": "Total distribution",
    "15g": "Copies not distributed",
    "15h": "Total",
    "15i": "Percent paid",
    "16a": "Paid electronic copies",
    "16b": "Total paid print and electronic copies",
    "16c": "Total print distribution and paid electronic copies",
    "16d": "Percent paid, print and electronic",
}
PERCENTAGES = frozenset({"15i", "16d"})


def counting_rules(catalogue: Catalogue, mail_date: date) -> CountingRules:
    """Return how the copies of an issue are counted that is mailed on a day."""
    rules = catalogue.print_rules
    return CountingRules(
        mailed_from=rules.mailed_from,
        county=rules.county,
        other_mail=rules.other_mail,
        prices=[
            BasicPrice(
                plan=plan.code,
                currency=plan.prices[DIGITAL].price.currency,
                both_editions=sum(one.price.amount for one in plan.prices.values()),
                digital=plan.prices[DIGITAL].price.amount,
                includes_tax=plan.prices[DIGITAL].tax_behavior == "inclusive",
            )
            for plan in catalogue.plans.values()
        ],
        paid_percent=catalogue.policies.paid_percent(mail_date),
    )


def statement(
    since: date, until: date, issues: Sequence[IssueCirculation], *, not_frozen: Sequence[int] = ()
) -> Statement:
    """
    Return the statement of the issues that were mailed in a period.

    :param issues: those whose labels are frozen, in the order of their numbers.
    :param not_frozen: the numbers of the others.
    """
    complete = [one for one in issues if one.entered is not None]
    missing = sorted([*not_frozen, *(one.number for one in issues if one.entered is None)])
    last = max([*not_frozen, *(one.number for one in issues)], default=None)
    average = lines_of(_parts([parts_of(one) for one in complete]))
    nearest = lines_of(parts_of(complete[-1])) if complete and complete[-1].number == last else {}
    return Statement(
        since=since,
        until=until,
        issues=complete,
        nearest=last,
        missing=missing,
        not_frozen=sorted(not_frozen),
        lines=[
            Line(
                line=line,
                title=title,
                average=average[line],
                nearest=nearest.get(line),
                is_percentage=line in PERCENTAGES,
            )
            for line, title in TITLES.items()
        ],
    )


def parts_of(issue: IssueCirculation) -> dict[str, int]:
    """Return the counts of an issue from which the lines follow, by line. An excess is more copies than were printed."""
    entered, labels = issue.entered or EnteredCounts(press_run=0), issue.labels
    parts = {
        "15a": entered.press_run,
        "15b1": labels.paid_outside_county,
        "15b2": labels.paid_in_county,
        "15b3": entered.dealer_sales,
        "15b4": labels.paid_other_mail + entered.single_copies_mailed,
        "15d1": labels.free_outside_county,
        "15d2": labels.free_in_county,
        "15d3": labels.free_other_mail,
        "15d4": entered.free_outside_mail,
        "16a": issue.electronic,
    }
    distributed = sum(parts[line] for line in (*PAID, *FREE))
    return {**parts, EXCESS: max(0, distributed - entered.press_run)}


def _parts(each: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the average of each part, rounded to whole copies, halves up."""
    lines = parts_of(IssueCirculation(number=0, mail_date=date.min, labels=LabelCounts(), electronic=0, entered=None))
    return {
        line: floor(Fraction(sum(parts[line] for parts in each), len(each)) + Fraction(1, 2)) if each else 0
        for line in lines
    }


def lines_of(parts: Mapping[str, int]) -> dict[str, int]:
    """
    Return all lines. More copies than were printed leave none that were not distributed.

    In an average, the excess of one issue doesn't reduce what was left of another.
    """
    paid = sum(parts[line] for line in PAID)
    free = sum(parts[line] for line in FREE)
    left = max(0, parts["15a"] + parts[EXCESS] - paid - free)
    electronic = parts["16a"]
    return {
        **{line: count for line, count in parts.items() if line != EXCESS},
        "15c": paid,
        "15e": free,
        "15f": paid + free,
        "15g": left,
        "15h": paid + free + left,
        "15i": _percent(paid, paid + free),
        "16b": paid + electronic,
        "16c": paid + free + electronic,
        "16d": _percent(paid + electronic, paid + free + electronic),
    }


def _percent(part: int, whole: int) -> int:
    """Return a percentage in hundredths, rounded, halves up."""
    return floor(Fraction(part * 10_000, whole) + Fraction(1, 2)) if whole else 0


def check_period(since: date, until: date) -> None:
    """
    Check the period of a statement, from its first day through its last.

    :raises InvalidCirculationPeriod: it ends before it begins, or is too long.
    """
    if not 0 <= (until - since).days < LONGEST_PERIOD:
        raise InvalidCirculationPeriod(since=str(since), until=str(until))


LABEL_KINDS = tuple(one.name for one in fields(LabelCounts))
