"""Who did what, when and why."""

from starlette.responses import Response

from app.console.guard import shows
from app.console.visits import Visit
from app.domain.callers import ADMIN
from app.services import console

AT_ONCE = 50  # entries on a page


async def show(visit: Visit) -> Response:
    """Show the audit log by filters, the newest first."""
    wanted = {name: visit.asked(name) for name in ("actor", "action", "about")}
    before = visit.asked("before", most=18)
    log = await console.log(
        visit.desk.sessions,
        **wanted,
        before=int(before) if before.isascii() and before.isdecimal() else None,
        limit=AT_ONCE,
    )
    return visit.page("audit.html", log=log, wanted=wanted)


ROUTES = [shows("/audit", show, role=ADMIN)]
