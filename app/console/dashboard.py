"""The first page: the work queue, and below it subscribers, refunds, unpaid renewals and events, in charts and tables."""

from itertools import groupby

from starlette.responses import Response

from app.console import charts, work_queue
from app.console.access_control import ANY_ROLE, page_route
from app.console.charts import NARROW_SUFFIX, SVG_POLICY
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.dashboard_stats import DashboardStats, percent_change
from app.domain.errors import NotFound
from app.domain.issue_states import next_cutoff, to_freeze
from app.services import dashboard_stats, issues


async def show(request: ConsoleRequest) -> Response:
    """Show the dashboard with the last figures, and have them counted again if they are old."""
    front = await dashboard_stats.get(request.ctx)
    figures = front.figures
    return request.render(
        "dashboard.html",
        queue=await work_queue.sections(request),
        email_is_off=request.ctx.mailer is None,
        circulation=await _circulation(request) if request.staff.has_role(Role.CIRCULATION) else None,
        figures=figures,
        age=front.age,
        refreshing=front.is_updating,
        events=front.events,
        oldest_event=front.oldest_event,
        changes=front.changes,
        by_status=_by_status(figures),
        active=sum(one.count for one in figures.subscriptions if one.status == "active") if figures else 0,
        unpaid=sum(one.count for one in figures.unpaid) if figures else 0,
        pending=sum(front.events.values()),
        charts={
            "events": charts.events(front.events),
            **({name: chart(figures) for name, chart in charts.FIGURES.items()} if figures else {}),
        },
        layout=charts.layout,
        percent_change=percent_change,
    )


async def _circulation(request: ConsoleRequest) -> dict[str, object]:
    """Return what the calendar asks for next."""
    calendar = await issues.calendar(request.ctx)
    return {"closing": next_cutoff(calendar, request.now), "to_freeze": to_freeze(calendar, request.now)}


def _by_status(figures: DashboardStats | None) -> dict[str, dict[bool, int]]:
    """Return the number of subscriptions by status, and by whether they include the print edition."""
    subscriptions = sorted(figures.subscriptions, key=lambda one: one.status) if figures else []
    return {
        status: {one.print_edition: one.count for one in rows}
        for status, rows in groupby(subscriptions, key=lambda one: one.status)
    }


async def chart(request: ConsoleRequest) -> Response:
    """Return the image of a chart."""
    name = request.path_param("name").removesuffix(NARROW_SUFFIX)
    narrow = request.path_param("name").endswith(NARROW_SUFFIX)
    if name == "events":
        image = charts.svg(charts.events(await dashboard_stats.event_counts(request.ctx)), narrow=narrow)
    elif name in charts.FIGURES and (figures := await dashboard_stats.figures(request.ctx)) is not None:
        image = charts.svg(charts.FIGURES[name](figures), narrow=narrow)
    else:
        raise NotFound("Chart not found")
    return Response(image, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


ROUTES = [
    page_route("/", show, role=ANY_ROLE),
    page_route("/pictures/{name}.svg", chart, role=ANY_ROLE, is_fragment=True),
]
