"""The audit log."""

from datetime import date, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain.audit import Selection
from app.domain.callers import Role
from app.services import audit

PAGE_SIZE = 50
READER_PREFIX = "rdr_"
FILTERS = ("actor", "action", "about", "since", "until")


async def show(request: ConsoleRequest) -> Response:
    """Show the entries that match the filters, newest first. An invalid date is ignored, and the page says so."""
    filters = {name: request.query(name) for name in FILTERS}
    days = {name: _parse_day(filters[name]) for name in ("since", "until")}
    object_id = filters["about"]
    selection = Selection(
        actor=filters["actor"] or None,
        action=f"{filters['action']}*" if filters["action"] else None,
        object_id=object_id if object_id and not object_id.startswith(READER_PREFIX) else None,
        subscriber_id=object_id if object_id.startswith(READER_PREFIX) else None,
        since=_start_of_day(request, days["since"]),
        until=_start_of_day(request, days["until"] + timedelta(days=1) if days["until"] else None),
    )
    before = request.query("before", max_length=18)
    after = int(before) if before.isascii() and before.isdecimal() else None
    page = await audit.page(request.ctx, selection, after=after, limit=PAGE_SIZE)
    invalid_dates = [filters[name] for name, day in days.items() if day is None and filters[name]]
    return request.render("audit.html", page=page, filters=filters, invalid_dates=invalid_dates)


def _parse_day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2999 else None


def _start_of_day(request: ConsoleRequest, day: date | None) -> datetime | None:
    """Return the start of a day in the publisher's time zone."""
    return datetime.combine(day, time(), request.ctx.settings.zone) if day is not None else None


ROUTES = [page_route("/audit", show, role=Role.ADMIN)]
