"""What the publisher owes readers in money on a day, by the rules of docs/concepts/liability.md, payment by payment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from tests.support.print_year.ledger import DAY, FROM_THE_START, ZONE, Card, PaidTerm, PlannedIssue

PRINT_SHARE = (24, 73)  # of the price of both editions


@dataclass
class Paid:
    """
    A payment, in minor units.

    :param added: whether it paid for print that was added to its term.
    :param returned: the day, the amount, and whether it was for dropping print, of each refund.
    """

    term: PaidTerm
    at: datetime
    amount: int
    added: bool = False
    since: datetime | None = None  # from when it paid for print
    returned: list[tuple[date, int, bool]] = field(default_factory=list)


def day_of(at: datetime) -> date:
    """Return the day at the publisher's."""
    return at.astimezone(ZONE).date()


def owed(paid: Paid, card: Card, calendar: Sequence[PlannedIssue], day: date) -> int:
    """Return what is owed of a payment at the end of a day, in minor units."""
    term = paid.term
    if day_of(paid.at) > day or (term.ended is not None and day_of(term.ended) <= day):
        return 0
    known = [one for one in paid.returned if one[0] <= day]
    left = paid.amount - sum(amount for _, amount, _ in known)
    of_print = sum(amount for _, amount, is_of_print in known if is_of_print)
    printed = min(left, max(0, _share(paid, paid.amount) - of_print - _share(paid, paid.amount - left - of_print)))
    digital = left - printed
    return _unearned_print(paid, card, calendar, printed, day) + digital - digital * _days(term, day) // _length(term)


def _share(paid: Paid, amount: int) -> int:
    """Return the print part of an amount."""
    if paid.added:
        return amount
    return amount * PRINT_SHARE[0] // PRINT_SHARE[1] if paid.term.with_print else 0


def _length(term: PaidTerm) -> int:
    return (day_of(term.ends) - day_of(term.starts)).days


def _days(term: PaidTerm, day: date) -> int:
    """Return how many days of a term are over at the end of a day."""
    return min(_length(term), max(0, (day - day_of(term.starts)).days + 1))


def _unearned_print(paid: Paid, card: Card, calendar: Sequence[PlannedIssue], amount: int, day: date) -> int:
    """
    Return what of the print part is still owed: the share of the copies that are still to come.

    What a late renewal paid for the grace copies before it was served when it was paid.
    """
    if amount == 0:
        return 0
    period = next(one for one in paid.term.prints if one.since == (paid.since or FROM_THE_START))
    if period.until is not None and day_of(period.until) <= day:
        return 0
    copies = [one for one in card.printed(paid.term, calendar) if period.has(one)]
    served = [one for one in copies if (day_of(one.closes) - DAY if one.frozen else one.mail_date) <= day]
    grace = 0 if paid.added else paid.term.grace_charged
    total = grace + sum(one.counts for one in copies)
    return amount - amount * (grace + sum(one.counts for one in served)) // max(1, total)
