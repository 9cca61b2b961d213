"""The front page: how the magazine does, in pictures and in numbers."""

from collections.abc import Callable
from itertools import groupby

from starlette.responses import Response

from app.console import charts
from app.console.access_control import ANYBODY, shows
from app.console.request import Visit
from app.domain.errors import NotFound
from app.services import dashboard_stats

NARROW = "-narrow"  # for a phone
PICTURES: dict[str, Callable[..., bytes]] = {
    "subscribers": charts.subscribers,
    "weeks": charts.weeks,
    "refunds": charts.refunds,
    "dunning": charts.dunning,
}


async def show(visit: Visit) -> Response:
    """Show the figures."""
    front = await dashboard_stats.front(visit.ctx)
    if front.being_counted:
        visit.ctx.wake_workers()
    held = front.figures.held if front.figures else []
    by_status = {
        status: {one.print_edition: one.count for one in rows}
        for status, rows in groupby(sorted(held, key=lambda one: one.status), key=lambda one: one.status)
    }
    return visit.page("dashboard.html", front=front, by_status=by_status, events_waiting=sum(front.events.values()))


async def picture(visit: Visit) -> Response:
    """Draw one of them."""
    name, ctx = visit.path("name").removesuffix(NARROW), visit.ctx
    narrow = visit.path("name").endswith(NARROW)
    if name == "events":
        drawn = charts.events(await dashboard_stats.events(ctx), narrow=narrow)
    elif name in PICTURES and (counted := await dashboard_stats.last(ctx)) is not None:
        drawn = PICTURES[name](counted, narrow=narrow)
    else:
        raise NotFound("there is no such picture")
    # Drawn for <img>, where no script of a picture runs; its own style is all that it may have.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return Response(drawn, media_type="image/svg+xml", headers={"Content-Security-Policy": policy})


ROUTES = [
    shows("/", show, role=ANYBODY),
    shows("/pictures/{name}.svg", picture, role=ANYBODY),
]
