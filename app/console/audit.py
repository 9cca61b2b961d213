"""Who did what, when and why."""

from datetime import date, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import shows
from app.console.request import Visit
from app.domain.audit import Selection
from app.domain.callers import ADMIN
from app.services import audit

AT_ONCE = 50  # entries on a page
A_READER = "rdr_"
FILTERS = ("actor", "action", "about", "since", "until")


async def show(visit: Visit) -> Response:
    """Show the audit log by filters, the newest first. A filter that makes no sense is said to, and left out."""
    asked = {name: visit.asked(name) for name in FILTERS}
    days = {name: _day(asked[name]) for name in ("since", "until")}
    about = asked["about"]
    wanted = Selection(
        actor=asked["actor"] or None,
        action=f"{asked['action']}*" if asked["action"] else None,
        object_id=about if about and not about.startswith(A_READER) else None,
        subscriber_id=about if about.startswith(A_READER) else None,
        since=_begins(visit, days["since"]),
        until=_begins(visit, days["until"] + timedelta(days=1) if days["until"] else None),
    )
    before = visit.asked("before", most=18)
    after = int(before) if before.isascii() and before.isdecimal() else None
    page = await audit.page(visit.ctx, wanted, after=after, limit=AT_ONCE)
    unread = [name for name, day in days.items() if day is None and asked[name]]
    return visit.page("audit.html", page=page, asked=asked, unread=unread)


def _day(written: str) -> date | None:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2999 else None


def _begins(visit: Visit, day: date | None) -> datetime | None:
    """Return when a day begins where the publisher is."""
    return datetime.combine(day, time(), visit.ctx.settings.zone) if day is not None else None


ROUTES = [shows("/audit", show, role=ADMIN)]
