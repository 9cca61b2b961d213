"""What readers are told by email: what is scheduled for a day, and everything about one reader."""

from collections.abc import Sequence
from datetime import timedelta

from starlette.responses import Response

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.notifications import Notification
from app.services import notifications, support

PAGE_SIZE = 50
MAX_DAY = 20  # characters


async def show_day(request: ConsoleRequest) -> Response:
    """Show what readers will be told on a day."""
    today = request.now.astimezone(request.ctx.rules.zone).date()
    entered = request.query("day", max_length=MAX_DAY)
    day = request.ctx.localization.parse_day(entered) if entered else today
    errors = {} if day is not None else {"day": "Enter a date such as 2027-03-01."}
    day = day or today
    after = request.query("after", max_length=80)
    page = await notifications.scheduled_on(request.ctx, day, after=after or None, limit=PAGE_SIZE)
    return request.render(
        "notifications.html",
        day=day,
        before=day - timedelta(days=1),
        next_day=day + timedelta(days=1),
        page=page,
        readers=await _readers(request, page.items),
        email_is_off=request.ctx.mailer is None,
        errors=errors,
        filled={"day": entered if errors else day.isoformat()},
    )


async def show_reader(request: ConsoleRequest) -> Response:
    """Show what a reader was told and will be told."""
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    found = await notifications.of_reader(request.ctx, reader.id, viewer=request.viewer)
    return request.render(
        "reader_notifications.html", reader=reader, notifications=found, email_is_off=request.ctx.mailer is None
    )


async def _readers(request: ConsoleRequest, shown: Sequence[Notification]) -> object:
    ids = sorted({one.subscriber_id for one in shown if one.subscriber_id is not None})
    return await support.subscribers_by_id(request.ctx, ids, viewer=request.viewer) if ids else {}


ROUTES = [
    page_route("/notifications", show_day, role=Role.SUPPORT),
    page_route("/readers/{reader}/notifications", show_reader, role=Role.SUPPORT),
]
