"""Stripe events that failed, and replaying them."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.events import EventState, Selection, SelectionChanged
from app.domain.pages import BadCursor
from app.pages.formatting import counted
from app.services import events

PAGE_SIZE = 50
MAX_COUNT = 99_999_999
STATES = (EventState.FAILED, EventState.DEAD)


async def show(request: ConsoleRequest) -> Response:
    """Show the failed events, newest first."""
    ctx, after = request.ctx, request.query("after")
    filters = {"state": request.query("state"), "type": request.query("type")}
    selection = _selection(filters["state"], filters["type"])
    try:
        page = await events.page(ctx, selection, after=after or None, limit=PAGE_SIZE)
    except BadCursor:
        page = await events.page(ctx, selection, after=None, limit=PAGE_SIZE)
    total = await events.count(ctx, selection)
    return request.render("events.html", page=page, filters=filters, total=total)


async def replay(request: ConsoleRequest) -> Response:
    """Replay one event, unless it is no longer failed."""
    ctx, event_id = request.ctx, request.path_param("event")
    if (await events.get(ctx, event_id)).event.state not in STATES:
        return request.redirect("/events", flash=f"{event_id} is no longer failed. Nothing to replay.")
    await events.replay_one(ctx, event_id, by=request.staff.actor)
    ctx.wake_workers()
    return request.redirect("/events", flash=f"Replaying {event_id}.")


async def replay_all(request: ConsoleRequest) -> Response:
    """Replay all events that the page counted. If the count has changed since then, replay none."""
    ctx, count = request.ctx, request.integer("number", minimum=1, maximum=MAX_COUNT)
    selection = _selection(request.text("state", max_length=10), request.text("type", max_length=200))
    try:
        replayed = await events.replay(ctx, selection, by=request.staff.actor, expected=count)
    except SelectionChanged:
        return request.redirect(
            "/events", flash="The list has changed, so nothing was replayed. Review it and try again."
        )
    ctx.wake_workers()
    return request.redirect("/events", flash=f"Replaying {counted(replayed.replayed, 'event')}.")


def _selection(state: str, type_prefix: str) -> Selection:
    return Selection(states=(state,) if state in STATES else STATES, type=f"{type_prefix}*" if type_prefix else None)


ROUTES = [
    page_route("/events", show, role=Role.ADMIN),
    form_route("/events/replay", replay_all, role=Role.ADMIN, shown_at="/events"),
    form_route("/events/{event}/replay", replay, role=Role.ADMIN, shown_at="/events"),
]
