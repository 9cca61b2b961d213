"""
The right of withdrawal: consumers may leave a distance contract within 14 days, without a reason, and get all they paid.

The laws are data of this module and not of ``catalogue.toml``: they are the same for every publisher, and a slip in a
publisher's file must not take a right away from readers. Each has the day from which it applies, what it counts from, and
its source. What could not be verified is marked. What a publisher offers beyond the law is the guarantee.

This is not legal advice. Where a law leaves a choice, the one in the reader's favor is taken:

- The first day is the one on which it is latest at the reader's place, and the last day ends where it ends last, because
  nobody knows in which time zone of their place a reader is.
- A last day on a weekend, or on a holiday that most of the area has, becomes the next working day (Regulation (EEC, Euratom)
  1182/71, article 3(4)). Holidays of single countries are not known.
- A copy counts as received some weeks after it was mailed.
- Everything is refunded, used or not: nobody is asked to consent to the loss of the right, which would need an express
  request and a confirmation (Directive 2011/83/EU, articles 14(3), 14(4) and 16(m)).
- What follows a free period counts from the first payment, although a reader who was told the price in advance may have the
  right only once (Court of Justice, C-565/22).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.places import Place
from app.domain.subscriptions import Payment, Subscription, Term

DELIVERY_DAYS = 30  # after which a mailed copy counts as received: the slowest surface mail; an assumption
LONGEST = timedelta(days=400)  # a contract of which no copy was mailed by then is not looked at anymore
_NEVER = datetime.max.replace(tzinfo=UTC)
_MOST_EXTENDED = 8  # more days than any row of holidays extends a period by


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalLaw:
    """A law that gives a right of withdrawal. :func:`right_of` applies it."""

    code: str
    title: str
    area: str  # see app.domain.places
    since: date  # for contracts made on or after this day
    enabled: bool  # a law that is not in force yet is listed, and changes nothing
    days: int
    first_zone: str  # where in the area a day begins first
    last_zone: str  # and where it ends last
    from_contract: str  # the article from which the period of a digital subscription counts
    from_first_copy: str  # and that of one with printed copies
    refund: str  # the article for the refund
    consent: str  # what a consent to immediate performance changes, with its article
    source: str
    unverified: Sequence[str] = ()


LAWS = (
    WithdrawalLaw(
        code="eea",
        title="Directive 2011/83/EU on consumer rights",
        area="EEA",
        since=date(2014, 6, 13),
        enabled=True,
        days=14,
        first_zone="Indian/Reunion",
        last_zone="America/Martinique",
        from_contract="article 9(2)(a) and (c)",
        from_first_copy="article 9(2)(b)(iii)",
        refund="articles 13(1) and 14(4)",
        consent="Nothing: the express request, acknowledgment and confirmation of articles 14(3) and 16(m) are not "
        "collected, so the right remains and nothing is owed for what was used",
        source="https://eur-lex.europa.eu/eli/dir/2011/83/oj",
        unverified=(
            "holidays of single countries",
            "the national laws that apply the directive",
            "the date on which Iceland, Liechtenstein and Norway require the button",
        ),
    ),
    WithdrawalLaw(
        code="gb",
        title="Consumer Contracts (Information, Cancellation and Additional Charges) Regulations 2013",
        area="GB",
        since=date(2014, 6, 13),
        enabled=True,
        days=14,
        first_zone="Europe/London",
        last_zone="Europe/London",
        from_contract="regulation 30(2)",
        from_first_copy="regulation 30(6)",
        refund="regulation 34",
        consent="Nothing: the express request and acknowledgment of regulations 36 and 37 are not collected, so the right "
        "remains and nothing is owed for what was used",
        source="https://www.legislation.gov.uk/uksi/2013/3134",
        unverified=("whether a last day on a weekend is extended: it is here",),
    ),
    WithdrawalLaw(
        code="gb_renewal",
        title="Digital Markets, Competition and Consumers Act 2024: cooling-off after a free or reduced period, and at a "
        "renewal for a year or more",
        area="GB",
        since=date(2027, 4, 6),
        enabled=False,
        days=14,
        first_zone="Europe/London",
        last_zone="Europe/London",
        from_contract="part 4, chapter 2",
        from_first_copy="part 4, chapter 2",
        refund="proportionate, by regulations that are not made yet",
        consent="Nothing: this right can't be waived",
        source="https://www.legislation.gov.uk/ukpga/2024/13",
        unverified=("the day: the government expects spring 2027", "how the refund is computed"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What the period of a subscription counts from."""

    concluded_at: datetime
    print_edition: bool = False  # sold with printed copies
    first_copy_mailed: date | None = None

    def may_be_open(self, now: datetime) -> bool:
        """Return whether a period may still run, wherever the reader lives. It spares looking for their place."""
        days = max(law.days for law in LAWS) + _MOST_EXTENDED + 2  # time zones
        longest = LONGEST if self.print_edition else timedelta(days=days)
        return now < self.concluded_at + longest


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRight:
    """A reader's right, and when it ends (exclusive)."""

    law: WithdrawalLaw
    until: datetime | None  # None: it has not begun to end, because no copy was mailed yet

    def is_open(self, now: datetime) -> bool:
        """Return whether the reader can withdraw."""
        return self.until is None or now < self.until


def contract_of(
    subscription: Subscription, terms: Sequence[Term], payments: Sequence[Payment], *, first_copy: date | None
) -> Contract:
    """
    Return the contract of a subscription: concluded when it was made, or first paid if that was later.

    Print that was added later is not part of it: it is dropped and refunded by issue (see app.domain.print_quotes).
    """
    first_paid = min((one.paid_at for one in payments if one.amount > 0), default=subscription.created_at)
    first = min(terms, key=lambda term: (term.starts_at, term.invoice_id), default=None)
    has_print = first.begins_with_print if first is not None else subscription.print_edition
    return Contract(
        concluded_at=max(subscription.created_at, first_paid), print_edition=has_print, first_copy_mailed=first_copy
    )


def right_of(
    place: Place, contract: Contract, *, zone: ZoneInfo, laws: Sequence[WithdrawalLaw] = LAWS
) -> WithdrawalRight | None:
    """
    Return the right that a reader's place gives them; None: it gives none. In an unknown place, the longest of all.

    :param zone: the publisher's time zone, in which readers are told the last day.
    """
    rights = [
        WithdrawalRight(law=law, until=_until(law, contract, zone))
        for law in laws
        if law.enabled
        and (place.is_in(law.area) or not place.is_known)
        and contract.concluded_at.astimezone(zone).date() >= law.since
    ]
    return max(rights, key=lambda right: right.until or _NEVER, default=None)


def _until(law: WithdrawalLaw, contract: Contract, zone: ZoneInfo) -> datetime | None:
    if not contract.print_edition:
        return last_moment(law, _latest_day(contract.concluded_at, law, zone), zone)
    if contract.first_copy_mailed is None:
        return None
    received = contract.first_copy_mailed + timedelta(days=DELIVERY_DAYS)
    return max(last_moment(law, day, zone) for day in (received, _latest_day(contract.concluded_at, law, zone)))


def _latest_day(moment: datetime, law: WithdrawalLaw, zone: ZoneInfo) -> date:
    return max(moment.astimezone(one).date() for one in (ZoneInfo(law.first_zone), zone))


def last_moment(law: WithdrawalLaw, day: date, zone: ZoneInfo) -> datetime:
    """
    Return the end (exclusive) of a period that counts from a day, which itself does not count.

    Source: Regulation (EEC, Euratom) 1182/71, articles 3(1), 3(2)(b) and 3(4).
    """
    last_day = day + timedelta(days=law.days)
    while not is_working_day(last_day):
        last_day += timedelta(days=1)
    ends = (
        datetime.combine(last_day + timedelta(days=1), time(), tzinfo=one) for one in (ZoneInfo(law.last_zone), zone)
    )
    return max(ends)


def is_working_day(day: date) -> bool:
    """Return whether a day is neither on a weekend nor a holiday that most countries of the EEA have."""
    easter = easter_sunday(day.year)
    movable = {easter + timedelta(days=days) for days in (-2, 1, 39, 50)}  # Good Friday to Whit Monday
    return day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS and day not in movable


_HOLIDAYS = frozenset({(1, 1), (5, 1), (12, 25), (12, 26)})


def easter_sunday(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar: Meeus, Astronomical Algorithms, chapter 8."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * weekday) // 433
    month = (h + weekday - 7 * m + 90) // 25
    return date(year, month, (h + weekday - 7 * m + 33 * month + 19) % 32)
