"""Events of Stripe's that could not be applied, and having them looked at again."""

from starlette.responses import Response

from app.console.guard import does, shows
from app.console.visits import Visit
from app.domain.callers import ADMIN
from app.services import console

AT_ONCE = 100  # events on the page
STATES = ("failed", "dead")


async def show(visit: Visit) -> Response:
    """Show the events that failed or were given up."""
    wanted = [state for state in STATES if visit.asked("state") in {"", state}]
    found = await console.stuck(visit.desk.sessions, wanted, limit=AT_ONCE)
    return visit.page("events.html", found=found, state=visit.asked("state"), most=AT_ONCE)


async def replay(visit: Visit) -> Response:
    """Have one looked at again."""
    event = visit.path("event")
    await console.replay(visit.desk.sessions, event, by=visit.staff.actor)
    visit.desk.wake()
    return visit.go("/events", say=f"{event} is being looked at again.")


ROUTES = [
    shows("/events", show, role=ADMIN),
    does("/events/{event}/replay", replay, role=ADMIN),
]
