"""
Leaving a renewed term early: where the law lets readers end a contract that renewed by itself at a month's notice.

Source: German Civil Code (BGB), section 309 no. 9 (b), for contracts made since March 1, 2022. After the first term, a
contract may only renew for an indefinite time, and the consumer can end it at any time with at most one month's notice. The
month ends with the day that has the same number, or the month's last day (sections 187(1), 188(2) and 188(3)). The unserved
issues are then refunded. This is not legal advice. Whether courts accept a refund instead of an indefinite renewal is not
verified.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.errors import Conflict
from app.domain.places import Place
from app.domain.subscriptions import Subscription, Term


class NoEarlyExit(Conflict):
    """The subscription can't be ended at a month's notice, or its paid period ends earlier."""

    code = "no_early_exit"
    title = "No end at a month's notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyExitLaw:
    """A law that lets readers end a renewed term early."""

    code: str
    title: str
    area: str
    since: date  # for contracts made on or after this day
    months: int  # of notice
    source: str


LAWS = (
    EarlyExitLaw(
        code="de_renewed",
        title="German Civil Code (BGB), section 309 no. 9",
        area="DE",
        since=date(2022, 3, 1),
        months=1,
        source="https://www.gesetze-im-internet.de/bgb/__309.html",
    ),
)


def early_exit(
    place: Place,
    subscription: Subscription,
    terms: Sequence[Term],
    *,
    now: datetime,
    zone: ZoneInfo,
    wanted: date | None = None,
    laws: Sequence[EarlyExitLaw] = LAWS,
) -> datetime | None:
    """
    Return when the running term ends if it is canceled now with notice; None: there is no such right, or no use of it.

    In an unknown place, the strictest law applies.

    :param wanted: the last day that the reader asks for, if it is later than the notice; None: as early as possible.
    """
    paid = sorted((term for term in terms if not term.is_refunded), key=lambda term: (term.starts_at, term.invoice_id))
    running = [term for term in paid if term.starts_at <= now < term.ends_at]
    if not running or running[-1].invoice_id == paid[0].invoice_id:
        return None
    today, made_on = now.astimezone(zone).date(), subscription.created_at.astimezone(zone).date()
    months = [law.months for law in laws if (place.is_in(law.area) or not place.is_known) and made_on >= law.since]
    if not months:
        return None
    last_day = max(in_months(today, min(months)), wanted or today)
    ends_at = datetime.combine(last_day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    return ends_at if ends_at < running[-1].ends_at else None


def in_months(day: date, months: int) -> date:
    """Return the day with the same number some months later, or the last of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
