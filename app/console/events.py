"""Events of Stripe's that could not be applied, and having them looked at again."""

from starlette.responses import Response

from app.console.access_control import does, shows
from app.console.labels import counted
from app.console.request import Visit
from app.domain.callers import ADMIN
from app.domain.events import DEAD, FAILED, Selection, SelectionChanged
from app.services import events
from app.services.events import BadCursor

AT_ONCE = 50  # events on the page
MOST = 99_999_999
STATES = (FAILED, DEAD)


async def show(visit: Visit) -> Response:
    """Show the events that failed or were given up, the newest first."""
    ctx, wanted, after = visit.ctx, _wanted(visit.asked("state"), visit.asked("type")), visit.asked("after")
    try:
        page = await events.page(ctx, wanted, after=after or None, limit=AT_ONCE)
    except BadCursor:
        page = await events.page(ctx, wanted, after=None, limit=AT_ONCE)
    number = await events.count(ctx, wanted)
    asked = {"state": visit.asked("state"), "type": visit.asked("type")}
    return visit.page("events.html", page=page, asked=asked, number=number)


async def replay(visit: Visit) -> Response:
    """Have one looked at again, unless that was done meanwhile."""
    ctx, event_id = visit.ctx, visit.path("event")
    if (await events.show(ctx, event_id)).event.state not in STATES:
        return visit.go("/events", say=f"Nothing to do: {event_id} was applied meanwhile, or is about to be.")
    await events.replay_one(ctx, event_id, by=visit.staff.actor)
    ctx.wake_workers()
    return visit.go("/events", say=f"{event_id} is being looked at again.")


async def replay_all(visit: Visit) -> Response:
    """Have all of those looked at again that were counted on the page: if others failed meanwhile, nothing is done."""
    ctx, number = visit.ctx, visit.number("number", least=1, most=MOST)
    wanted = _wanted(visit.text("state", most=10), visit.text("type", most=200))
    try:
        done = await events.replay(ctx, wanted, by=visit.staff.actor, expected=number)
    except SelectionChanged:
        return visit.go("/events", say="Nothing was done: there are others than when you looked. Look again.")
    ctx.wake_workers()
    return visit.go("/events", say=f"{counted(done.replayed, 'event is', 'events are')} being looked at again.")


def _wanted(state: str, kind: str) -> Selection:
    return Selection(states=(state,) if state in STATES else STATES, type=f"{kind}*" if kind else None)


ROUTES = [
    shows("/events", show, role=ADMIN),
    does("/events/replay", replay_all, role=ADMIN),
    does("/events/{event}/replay", replay, role=ADMIN),
]
