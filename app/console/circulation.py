"""The circulation statement, the press run of an issue, and the labels that the figures consist of."""

import csv
import io
from datetime import date, timedelta

from starlette.responses import Response, StreamingResponse

from app.console.access_control import form_route, page_route
from app.console.issues import issue_number
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.circulation import (
    ELECTRONIC,
    LARGEST_COUNT,
    PERCENTAGES,
    TITLES,
    EnteredCounts,
    InvalidCirculationPeriod,
    Statement,
    lines_of,
    parts_of,
)
from app.services import circulation, issues

COUNTS = {  # field: title, and the line of the form
    "press_run": ("Press run", "15a"),
    "dealer_sales": ("Sold outside the mails", "15b3"),
    "single_copies_mailed": ("Single copies mailed at other classes", "15b4"),
    "free_outside_mail": ("Given away outside the mails", "15d4"),
}
# With frozen rows, which can be downloaded: labels, and electronic copies.
LABEL_LINES = frozenset({"15b1", "15b2", "15b4", "15d1", "15d2", "15d3", ELECTRONIC})
A_YEAR = timedelta(days=365)


async def show(request: ConsoleRequest) -> Response:
    """Show the statement of a period: the 12 months until today, if none is chosen."""
    today = request.now.astimezone(request.ctx.rules.zone).date()
    since, until = _day(request, "from") or today - A_YEAR, _day(request, "to") or today
    found, wrong = None, False
    try:
        found = await circulation.report(request.ctx, since, until, now=request.now)
    except InvalidCirculationPeriod:
        wrong = True
    return request.render(
        "circulation.html",
        found=found,
        wrong=wrong,
        since=since,
        until=until,
        figures={one.number: lines_of(parts_of(one)) for one in found.issues} if found is not None else {},
    )


async def export(request: ConsoleRequest) -> Response:
    """
    Return the statement as CSV: a column for the average, and one for each issue.

    :raises InvalidCirculationPeriod: the period is not valid.
    """
    today = request.now.astimezone(request.ctx.rules.zone).date()
    since, until = _day(request, "from") or today - A_YEAR, _day(request, "to") or today
    found = await circulation.report(request.ctx, since, until, now=request.now)
    name = f"circulation-{since}-{until}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(_csv(found), media_type="text/csv; charset=utf-8", headers=headers)


async def show_issue(request: ConsoleRequest) -> Response:
    """Show the circulation of an issue, and the form for its press run."""
    number = issue_number(request)
    found = await circulation.of_issue(request.ctx, number)
    entered = found.entered
    known = {name: str(getattr(entered, name)) if entered is not None else "" for name in COUNTS}
    return request.render(
        "issue_circulation.html",
        issue=await issues.get(request.ctx, number),
        found=found,
        lines=lines_of(parts_of(found)),
        titles=TITLES,
        percentages=PERCENTAGES,
        label_lines=LABEL_LINES,
        counts=COUNTS,
        filled=request.form or known,
    )


async def enter(request: ConsoleRequest) -> Response:
    """Enter the press run of an issue, and the copies that have no label."""
    number = issue_number(request)
    with request.fields() as fields:
        press_run = fields.integer("press_run", minimum=0, maximum=LARGEST_COUNT)
        others = {
            name: fields.integer(name, minimum=0, maximum=LARGEST_COUNT) if fields.text(name) else 0
            for name in COUNTS
            if name != "press_run"
        }
    counts = EnteredCounts(press_run=press_run, **others)
    await circulation.enter(request.ctx, number, counts, by=request.staff.actor, now=request.now)
    return request.redirect(f"/issues/{number}/circulation", flash=f"Press run of issue {number} saved.")


async def sample(request: ConsoleRequest) -> Response:
    """Return the labels of an issue, or those of a line, as CSV. Every download is recorded."""
    number, line = issue_number(request), request.query("line", max_length=4)
    rows = await circulation.sample(
        request.ctx, number, line=line if line in LABEL_LINES else None, every=1, by=request.staff.actor
    )
    name = f"circulation-{number}{f'-{line}' if line in LABEL_LINES else ''}.csv"
    return StreamingResponse(
        rows, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _csv(found: Statement) -> str:
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(["line", "title", "average", *(f"issue {one.number}" for one in found.issues)])
    figures = [lines_of(parts_of(one)) for one in found.issues]
    for line in found.lines:
        numbers = (line.average, *(each[line.line] for each in figures))
        shown = [f"{it // 100}.{it % 100:02}" if line.is_percentage else str(it) for it in numbers]
        rows.writerow([line.line, line.title, *shown])
    return written.getvalue()


def _day(request: ConsoleRequest, name: str) -> date | None:
    return request.ctx.localization.parse_day(request.query(name, max_length=40))


CIRCULATION = "/issues/{number}/circulation"
ROUTES = [
    page_route("/circulation", show, role=Role.CIRCULATION),
    page_route("/circulation.csv", export, role=Role.CIRCULATION),
    page_route(CIRCULATION, show_issue, role=Role.CIRCULATION),
    form_route(CIRCULATION, enter, role=Role.CIRCULATION, shown_by=show_issue),
    page_route("/issues/{number}/circulation.csv", sample, role=Role.CIRCULATION, recent_sign_in=True),
]
