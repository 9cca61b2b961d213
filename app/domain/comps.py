"""Comps: access to a plan that nobody pays for, given by support for a reason, until a time or for some issues."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.entitlements import AccessPeriod, AccessReason, Grant
from app.domain.errors import Conflict
from app.domain.issues import ORDINARY, Calendar
from app.domain.plans import Catalogue


class CompIsOver(Conflict):
    """The end of complimentary access must be in the future."""

    code = "comp_is_over"
    title = "Complimentary access must end in the future"


class CalendarTooShort(Conflict):
    """The calendar has fewer planned issues than requested."""

    code = "calendar_too_short"
    title = "Not enough planned issues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comp:
    """One comp. Taken back, it grants nothing; what it was is kept."""

    id: str
    subscriber_id: str
    plan: str
    issues: int | None
    starts_at: datetime
    until: datetime
    reason: str
    given_by: str
    removed_at: datetime | None = None
    removed_by: str | None = None


def end_of_comp(*, until: datetime | None, issues: int | None, calendar: Calendar, now: datetime) -> datetime:
    """
    Return when a comp given at ``now`` ends: at ``until``, or when the last of the next ``issues`` issues is mailed.

    :raises CompIsOver: ``until`` has passed.
    :raises CalendarTooShort: fewer issues are planned.
    """
    if issues is not None:
        begin = calendar.begin(now, doubles=ORDINARY)
        index = calendar.reaching(begin + issues, doubles=ORDINARY)
        if index is None:
            planned = issues - calendar.left_over(begin + issues, doubles=ORDINARY)
            raise CalendarTooShort(f"only {planned} more issues are planned", planned=planned)
        until = calendar.comes_out(index)
    if until is None or until <= now:
        raise CompIsOver("a comp must end later than now")
    return until


def grant_of(comp: Comp, catalogue: Catalogue) -> Grant:
    """Return what a comp grants: the digital features of its plan. Copies in print are sent to those who pay for them."""
    names = catalogue.plan(comp.plan).features_of(print_edition=False)
    period = AccessPeriod(comp.starts_at, comp.until, AccessReason.COMP)
    return Grant(id=f"grt_{comp.id}", source=AccessReason.COMP, features=dict.fromkeys(names, (period,)))
