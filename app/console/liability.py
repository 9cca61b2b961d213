"""The liability to readers: the report of a month, its chart, its subscriptions, and closing the month."""

import re
from datetime import date
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from app.console import charts, templating
from app.console.access_control import form_route, page_route
from app.console.charts import NARROW_SUFFIX, SVG_POLICY, Chart, Series
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.liability import InvalidReportDate, first_of_month, last_of_month, next_month, parse_month, report_day
from app.domain.money import exponent
from app.localization import Localization
from app.services import liability

PAGE_SIZE = 100
MAX_FIGURES, MAX_MONTH = 2_000, 20  # characters
_DAY = r"\d{4}-\d{2}-\d{2}( [a-z]{3} \d{1,15})*"
UNKNOWN_MONTH = "Enter a month such as 2026-03 that is not in the future."
FIGURES = re.compile(f"{_DAY}(,{_DAY})*", re.ASCII)


async def show(request: ConsoleRequest) -> Response:
    """Show the report of a month."""
    today, errors = _today(request), dict(request.errors)
    try:
        through = _through(request)
    except InvalidReportDate:
        through, errors["month"] = today, UNKNOWN_MONTH
    month = first_of_month(through)
    report, closings, history = await liability.overview(request.ctx, through, today=today)
    last = closings[-1].month if closings else None
    return request.render(
        "liability.html",
        report=report,
        month=month,
        following=next_month(month) if next_month(month) <= today else None,
        may_close=last_of_month(month) < today and (last is None or month == next_month(last)),
        to_close_first=next_month(last) if last is not None and month > next_month(last) else None,
        history=history,
        layout=charts.layout,
        chart=_chart(history, request.ctx.localization),
        figures=urlencode({"figures": _figures(history)}),
        errors=errors,
        filled={**request.form, "month": request.query("month", max_length=MAX_MONTH) if errors else f"{month:%Y-%m}"},
    )


async def chart(request: ConsoleRequest) -> Response:
    """Return the image of the chart. Its URL has the figures, because counting them again would read all payments again."""
    narrow = request.path_param("name").endswith(NARROW_SUFFIX)
    history = _parse_figures(request.query("figures", max_length=MAX_FIGURES))
    image = charts.svg(_chart(history, request.ctx.localization), narrow=narrow)
    return Response(image, media_type="image/svg+xml", headers={"Content-Security-Policy": SVG_POLICY})


async def subscriptions(request: ConsoleRequest) -> Response:
    """List the subscriptions that the report consists of."""
    try:
        through = _through(request)
    except InvalidReportDate:
        return _unknown_month(request)
    page = await liability.subscriptions(
        request.ctx, through, after=request.query("after", max_length=100), limit=PAGE_SIZE
    )
    return request.render("liability_subscriptions.html", page=page, month=first_of_month(through), through=through)


async def export(request: ConsoleRequest) -> Response:
    """Return the subscriptions of the report as CSV."""
    try:
        through = _through(request)
    except InvalidReportDate:
        return _unknown_month(request)
    return StreamingResponse(
        await liability.csv(request.ctx, through, by=request.staff.actor),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="liability-{through}.csv"'},
    )


async def confirm_close(request: ConsoleRequest) -> Response:
    """Show what closing a month does, for confirmation."""
    try:
        month = parse_month(request.form.get("month") or request.query("month", max_length=MAX_MONTH))
    except InvalidReportDate:
        return _unknown_month(request)
    name = request.ctx.localization.month_and_year(month)
    return request.render(
        "confirm.html",
        question=f"Close {name}?",
        effects=[f"The figures of {name} become final.", "What becomes known later appears in the next month."],
        path=CLOSE,
        hidden={"month": f"{month:%Y-%m}"},
        button=f"Close {name}",
        back=f"/liability?{urlencode({'month': f'{month:%Y-%m}'})}",
    )


async def close(request: ConsoleRequest) -> Response:
    """Close a month."""
    month = parse_month(request.text("month", max_length=7))
    await liability.close(request.ctx, month, by=request.staff.actor, now=request.now)
    flash = f"{request.ctx.localization.month_and_year(month)} is closed."
    return request.redirect(f"/liability?{urlencode({'month': f'{month:%Y-%m}'})}", flash=flash)


def _today(request: ConsoleRequest) -> date:
    return request.now.astimezone(request.ctx.rules.zone).date()


def _through(request: ConsoleRequest) -> date:
    """
    Return the last day of the wanted report.

    :raises InvalidReportDate: it is not a month, or in the future.
    """
    return report_day(at=None, month=request.query("month", max_length=MAX_MONTH) or None, today=_today(request))


def _unknown_month(request: ConsoleRequest) -> Response:
    """Return the page about a month in the address that there is no report of, with a link to choose another one."""
    return templating.error_page(
        request.http,
        status=422,
        title="Invalid month",
        detail=UNKNOWN_MONTH,
        link=("/liability", "Choose a month"),
    )


def _currencies(history: liability.History) -> list[str]:
    """Return the currencies that are shown."""
    return sorted({currency for _, owed in history for currency in owed})[: charts.MAX_SERIES]


def _figures(history: liability.History) -> str:
    """Return the figures of the chart, such as ``2026-03-31 usd 6684 jpy 500,2026-04-30 usd 6082 jpy 0``."""
    currencies = _currencies(history)
    return ",".join(
        " ".join([str(day), *(f"{currency} {owed.get(currency, 0)}" for currency in currencies)])
        for day, owed in history
    )


def _parse_figures(text: str) -> liability.History:
    """Return the figures of the chart. Of malformed ones, nothing is shown."""
    if FIGURES.fullmatch(text) is None:
        return []
    found = []
    for part in text.split(","):
        day, *pairs = part.split()
        found.append((day, dict(zip(pairs[::2], map(int, pairs[1::2]), strict=True))))
    try:
        return [(date.fromisoformat(day), owed) for day, owed in found]
    except ValueError:
        return []


def _chart(history: liability.History, localization: Localization) -> Chart:
    """Return the chart: a series for each currency, in whole units."""
    currencies = _currencies(history)
    return Chart(
        title="Owed at the end of each month",
        categories=[localization.month_and_year(day, short=True) for day, _ in history],
        series=[
            Series(currency.upper(), [owed.get(currency, 0) // 10 ** exponent(currency) for _, owed in history])
            for currency in currencies
        ],
        rows=False,
    )


CLOSE = "/liability/close"
ROUTES = [
    page_route("/liability", show, role=Role.FINANCE),
    page_route("/liability/{name}.svg", chart, role=Role.FINANCE, is_fragment=True),
    page_route("/liability/subscriptions", subscriptions, role=Role.FINANCE),
    page_route("/liability.csv", export, role=Role.FINANCE),
    page_route(CLOSE, confirm_close, role=Role.FINANCE, recent_sign_in=True),
    form_route(CLOSE, close, role=Role.FINANCE, recent_sign_in=True, shown_by=confirm_close),
]
