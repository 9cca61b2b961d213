"""Comps: complimentary access to a plan, given by support for a reason, until a date or for a number of issues."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.entitlements import AccessPeriod, AccessReason, Grant
from app.domain.errors import Conflict
from app.domain.issues import ORDINARY, Calendar
from app.domain.offers import Offer
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
    """A comp. A revoked comp grants nothing, but is kept."""

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
        index = calendar.index_of_copy(begin + issues, doubles=ORDINARY)
        if index is None:
            planned = issues - calendar.missing_copies(begin + issues, doubles=ORDINARY)
            raise CalendarTooShort(f"Only {planned} more issues are planned", planned=planned)
        until = calendar.served_at(index)
    if until is None or until <= now:
        raise CompIsOver
    return until


def grant_of(comp: Comp, catalogue: Catalogue, offer: Offer | None = None) -> Grant:
    """
    Return the grant of a comp: the digital features of its plan. Printed copies require a subscription.

    :param offer: what the plan promises; None: what the catalogue says.
    """
    names = (offer or catalogue.plan(comp.plan)).features_of(print_edition=False)
    period = AccessPeriod(comp.starts_at, comp.until, AccessReason.COMP)
    return Grant(id=f"grt_{comp.id}", source=AccessReason.COMP, features=dict.fromkeys(names, (period,)))
