"""
Bar charts of the dashboard, drawn as SVG.

The layout is computed here, in pixels; ``templates/charts/bar_chart.svg`` draws it. Each chart comes in two widths, since an
SVG that is scaled down to a phone would have unreadable labels. The same figures always give the same image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from app.console.labels import label
from app.console.templating import environment
from app.domain.dashboard_stats import DUNNING_BANDS, DashboardStats
from app.pages.formatting import upper_first

NARROW_SUFFIX = "-narrow"  # of the image for phones
# The image is shown by <img>, which runs no scripts; it needs nothing but its own style.
SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
WIDE, NARROW = 760, 400  # widths of the image
MAX_SERIES = 5  # as many as there are colors
OTHER_REASONS = "other_reasons"  # all refund reasons that have no series of their own
CHARACTER_WIDTH = 7.0  # average, at the font size of the template
LEGEND_ROW, LEGEND_SWATCH = 24, 20
ROW, STACKED_ROW, BAR = 36, 54, 22  # heights in a chart with horizontal bars
LABEL_ABOVE = 24  # height of a label above its bar
VALUE_WIDTH = 56  # room for the value after a horizontal bar
AXIS = 30  # height of the labels below a chart
PLOT_HEIGHT, MAX_COLUMN = 210, 46
MAX_TICKS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """A name in the legend, with a value for each category."""

    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A bar chart: with rows, stacked horizontal bars; with columns, vertical bars side by side."""

    title: str
    categories: Sequence[str]
    series: Sequence[Series]
    rows: bool

    @property
    def description(self) -> str:
        """All values in words, for screen readers."""
        return " ".join(
            f"{category}: {', '.join(f'{one.values[index]:,} {one.name.lower()}' for one in self.series)}."
            for index, category in enumerate(self.categories)
        )


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A bar or a swatch of the legend. ``series`` counts from 1 and selects the color."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text at its baseline. ``anchor`` is SVG's: start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Line:
    """A grid line."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(slots=True, kw_only=True)
class Layout:
    """The positions of everything in a chart."""

    width: int
    height: float = 0
    rectangles: list[Rectangle] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Text] = field(default_factory=list)
    axis: list[Text] = field(default_factory=list)
    values: list[Text] = field(default_factory=list)


def layout(chart: Chart, *, narrow: bool) -> Layout:
    """Return the layout of a chart."""
    drawing = Layout(width=NARROW if narrow else WIDE)
    top = _add_legend(drawing, chart) if len(chart.series) > 1 else 4
    if chart.rows:
        _add_rows(drawing, chart, top, labels_above=narrow)
    else:
        _add_columns(drawing, chart, top, every=4 if narrow and len(chart.categories) > 6 else 1)
    return drawing


def svg(chart: Chart, *, narrow: bool = False) -> bytes:
    """Return the image of a chart."""
    template = environment.get_template("charts/bar_chart.svg")
    return template.render(chart=chart, layout=layout(chart, narrow=narrow)).encode()


def _add_legend(drawing: Layout, chart: Chart) -> float:
    """Add the legend, and return its height."""
    x, y = 0.0, 0.0
    for number, series in enumerate(chart.series, 1):
        width = LEGEND_SWATCH + len(series.name) * CHARACTER_WIDTH + 20
        if x and x + width > drawing.width:
            x, y = 0.0, y + LEGEND_ROW
        drawing.rectangles.append(Rectangle(x, y + 4, 13, 13, number))
        drawing.labels.append(Text(x + LEGEND_SWATCH, y + 15, series.name))
        x += width
    return y + LEGEND_ROW + 10


def _add_rows(drawing: Layout, chart: Chart, top: float, *, labels_above: bool) -> None:
    """Add stacked horizontal bars, one row for each category, with the total after each bar."""
    left = 0.0 if labels_above else max((len(name) for name in chart.categories), default=0) * CHARACTER_WIDTH + 18
    row, offset = (STACKED_ROW, LABEL_ABOVE) if labels_above else (ROW, (ROW - BAR) / 2)
    plot = drawing.width - left - VALUE_WIDTH
    totals = [sum(series.values[index] for series in chart.series) for index in range(len(chart.categories))]
    ticks = _ticks(max(totals, default=0))
    bottom = top + row * len(totals)
    for value in ticks:
        x = left + plot * value / ticks[-1]
        drawing.lines.append(Line(x, top, x, bottom))
        drawing.axis.append(Text(x, bottom + 18, f"{value:,}", "middle" if value else "start"))
    for index, (category, total) in enumerate(zip(chart.categories, totals, strict=True)):
        y, x = top + row * index + offset, left
        if labels_above:
            drawing.labels.append(Text(0, y - 6, category))
        else:
            drawing.labels.append(Text(left - 12, y + BAR / 2 + 5, category, "end"))
        for number, series in enumerate(chart.series, 1):
            width = plot * series.values[index] / ticks[-1]
            if width:
                drawing.rectangles.append(Rectangle(x, y, max(width - 1, 1), BAR, number))
            x += width
        drawing.values.append(Text(x + 7, y + BAR / 2 + 5, f"{total:,}"))
    drawing.height = bottom + AXIS


def _add_columns(drawing: Layout, chart: Chart, top: float, *, every: int) -> None:
    """Add vertical bars, side by side for each category. On a crowded axis only every n-th category has its label."""
    highest = max((value for series in chart.series for value in series.values), default=0)
    ticks = _ticks(highest)
    left = len(f"{ticks[-1]:,}") * CHARACTER_WIDTH + 14
    bottom = top + PLOT_HEIGHT
    for value in ticks:
        y = bottom - PLOT_HEIGHT * value / ticks[-1]
        drawing.lines.append(Line(left, y, drawing.width, y))
        drawing.axis.append(Text(left - 8, y + 5, f"{value:,}", "end"))
    group = (drawing.width - left) / max(len(chart.categories), 1)
    width = min(group * 0.72 / max(len(chart.series), 1), MAX_COLUMN)
    for index, category in enumerate(chart.categories):
        center = left + group * (index + 0.5)
        if index % every == 0:
            fits = center + len(category) * CHARACTER_WIDTH / 2 <= drawing.width
            drawing.axis.append(
                Text(center if fits else drawing.width, bottom + 20, category, "middle" if fits else "end")
            )
        for number, series in enumerate(chart.series, 1):
            height = PLOT_HEIGHT * series.values[index] / ticks[-1]
            x = center + width * (number - 1 - len(chart.series) / 2)
            if height:
                drawing.rectangles.append(Rectangle(x + 0.5, bottom - height, width - 1, height, number))
    drawing.height = bottom + AXIS


def _ticks(highest: int) -> list[int]:
    """Return round numbers from zero to at least ``highest``."""
    step = next(step for step in _round_numbers() if step * (MAX_TICKS - 1) >= highest)
    return list(range(0, step * -(-max(highest, 1) // step) + 1, step))


def _round_numbers() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def subscribers(figures: DashboardStats) -> Chart:
    """Return the subscribers by status and edition. Canceled subscriptions are left out."""
    statuses = list(dict.fromkeys(one.status for one in figures.subscriptions if one.status != "canceled"))
    counts = {(one.status, one.print_edition): one.count for one in figures.subscriptions}
    return Chart(
        title="Subscribers by status and edition",
        categories=[label(status) for status in statuses],
        series=[
            Series(name, [counts.get((status, print_edition), 0) for status in statuses])
            for name, print_edition in (("Digital", False), ("Print and digital", True))
        ],
        rows=True,
    )


def weeks(figures: DashboardStats) -> Chart:
    """Return the new and lost subscribers by week, since the first week with any."""
    return Chart(
        title="New and lost subscribers by week",
        categories=[_short_date(week.monday) for week in figures.busy_weeks],
        series=[
            Series("New", [week.new for week in figures.busy_weeks]),
            Series("Lost", [week.lost for week in figures.busy_weeks]),
        ],
        rows=False,
    )


def refunds(figures: DashboardStats) -> Chart:
    """Return the number of refunds by basis and reason. They are counted, since amounts may have several currencies."""
    bases = list(dict.fromkeys(one.basis for one in figures.refunds))
    reasons = list(dict.fromkeys(one.reason for one in figures.refunds))
    if len(reasons) > MAX_SERIES:
        reasons = [*reasons[: MAX_SERIES - 1], OTHER_REASONS]
    counts: dict[tuple[str, str], int] = {}
    for one in figures.refunds:
        key = one.basis, one.reason if one.reason in reasons else OTHER_REASONS
        counts[key] = counts.get(key, 0) + one.count
    return Chart(
        title="Refunds by basis and reason",
        categories=[label(basis) for basis in bases],
        series=[Series(label(reason)[:40], [counts.get((basis, reason), 0) for basis in bases]) for reason in reasons],
        rows=True,
    )


def dunning(figures: DashboardStats) -> Chart:
    """Return the unpaid renewals by days overdue."""
    bands = [name for _, name in DUNNING_BANDS if any(one.band == name for one in figures.unpaid)]
    counts = [sum(one.count for one in figures.unpaid if one.band == band) for band in bands]
    return Chart(
        title="Unpaid renewals by days overdue",
        categories=[upper_first(band) for band in bands],
        series=[Series("Unpaid renewals", counts)],
        rows=True,
    )


def events(by_state: Mapping[str, int]) -> Chart:
    """Return the pending events by state."""
    return Chart(
        title="Pending events by state",
        categories=[label(f"event:{state}") for state, count in by_state.items() if count],
        series=[Series("Events", [count for count in by_state.values() if count])],
        rows=True,
    )


FIGURES: Mapping[str, Callable[[DashboardStats], Chart]] = {
    "subscribers": subscribers,
    "weeks": weeks,
    "refunds": refunds,
    "dunning": dunning,
}


def _short_date(day: date) -> str:
    return f"{day:%b} {day.day}"
