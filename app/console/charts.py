"""
Pictures of the front page's figures, drawn by pygal and shown through ``<img>``.

pygal gives each picture a random id, the date and a script: all three are taken out, so the same figures are the same
bytes, and nothing is left that our policy would have to allow. The colours follow the browser's, light or dark.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date

import pygal
from pygal.style import Style

from app.console.labels import word
from app.domain.dashboard_stats import DUNNING_BANDS, Figures

# pygal leaves a finder of plug-ins behind that has no ``find_spec``; we have no plug-ins, and others ask every finder.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

INK, QUIET, LINE = "#1c2430", "#5b6675", "#dfe3e8"
BLUE, SAND, RED, GREEN, PLUM = "#2f5d8a", "#c98b2d", "#b4412f", "#3d7a57", "#7a4f86"
FONT = "system-ui, 'Segoe UI', 'Liberation Sans', sans-serif"
STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground=QUIET,
    foreground_strong=INK,
    foreground_subtle=QUIET,
    colors=(BLUE, SAND, GREEN, RED, PLUM),
    font_family=FONT,
    label_font_size=13,
    major_label_font_size=15,
    legend_font_size=16,
    value_font_size=15,
    guide_stroke_color=LINE,
    major_guide_stroke_color=LINE,
    guide_stroke_dasharray="0",
    major_guide_stroke_dasharray="0",
    opacity=1,
    opacity_hover=1,
    transition="0s",
)
DARK = (
    "@media (prefers-color-scheme: dark) {"
    " text { fill: #cfd6df !important } .guides { stroke: #38424f !important } .axis .line { stroke: #55606e !important }"
    " .color-0 { fill: #7fb0e0 !important; stroke: #7fb0e0 !important }"
    " .color-1 { fill: #e0ae5c !important; stroke: #e0ae5c !important }"
    " .color-2 { fill: #76b593 !important; stroke: #76b593 !important }"
    " .color-3 { fill: #e58373 !important; stroke: #e58373 !important } }"
)
_NOISE = re.compile(
    r"<script.*?</script>|<script[^>]*/>|<!--.*?-->|<title>[^<]*</title>|<desc[^>]*>[^<]*</desc>", re.DOTALL
)
_ID = re.compile(r"chart-[0-9a-f-]{36}")


def subscribers(figures: Figures, *, narrow: bool = False) -> bytes:
    """Draw how many subscribers there are, by status and edition."""
    statuses = [one.status for one in figures.held if one.status != "canceled"]
    shown = list(dict.fromkeys(statuses))
    counts = {(one.status, one.print_edition): one.count for one in figures.held}
    chart = _bars(
        pygal.HorizontalStackedBar,
        [word(status) for status in reversed(shown)],
        height=140 + 60 * len(shown),
        narrow=narrow,
    )
    for name, printed in (("digital", False), ("print and digital", True)):
        chart.add(name, [counts.get((status, printed), 0) for status in reversed(shown)])
    return _drawn(chart)


def weeks(figures: Figures, *, narrow: bool = False) -> bytes:
    """Draw who came and who went, week by week."""
    chart = _bars(pygal.Bar, [_short(week.monday) for week in figures.weeks], height=340, narrow=narrow)
    chart.add("new", [week.new for week in figures.weeks])
    chart.add("lost", [week.lost for week in figures.weeks])
    return _drawn(chart)


def refunds(figures: Figures, *, narrow: bool = False) -> bytes:
    """Draw what was given back, by basis, each reason a part of its bar; counted, since amounts may be of two currencies."""
    bases = list(dict.fromkeys(one.basis for one in figures.given))
    reasons = list(dict.fromkeys(one.reason for one in figures.given))[:5]
    chart = _bars(
        pygal.HorizontalStackedBar,
        [word(basis) for basis in reversed(bases)],
        height=140 + 60 * len(bases),
        narrow=narrow,
    )
    for reason in reasons:
        chart.add(
            word(reason)[:40],
            [
                sum(one.count for one in figures.given if one.basis == basis and one.reason == reason)
                for basis in reversed(bases)
            ],
        )
    return _drawn(chart)


def dunning(figures: Figures, *, narrow: bool = False) -> bytes:
    """Draw the unpaid renewals, by how long ago they were due."""
    bands = [name for _, name in DUNNING_BANDS]
    chart = _bars(pygal.Bar, bands, height=300, narrow=narrow)
    chart.add("unpaid renewals", [sum(one.count for one in figures.unpaid if one.band == band) for band in bands])
    return _drawn(chart)


def events(waiting: Mapping[str, int], *, narrow: bool = False) -> bytes:
    """Draw the events that wait, by state."""
    states = list(reversed(list(waiting)))
    chart = _bars(pygal.HorizontalBar, [word(f"event:{state}") for state in states], height=230, narrow=narrow)
    chart.add("events", [waiting[state] for state in states])
    return _drawn(chart)


def _bars(kind: type[pygal.Graph], labels: Sequence[str], *, height: int, narrow: bool) -> pygal.Graph:
    crowded = narrow and len(labels) > 6
    chart = kind(
        style=STYLE,
        width=400 if narrow else 760,  # on a phone, whose letters are as large as on a desk
        height=height,
        margin=8,
        js=[],
        css=["file://style.css", "file://graph.css"],
        legend_at_bottom=True,
        legend_box_size=14,
        show_x_guides=False,
        show_minor_x_labels=not crowded,
        x_labels_major_every=4 if crowded else None,
        legend_at_bottom_columns=1 if narrow else None,
        min_scale=1,
        max_scale=5,
        truncate_legend=-1,
        truncate_label=-1,
        value_formatter=lambda number: f"{number:,.0f}",
        no_data_text="nothing yet",
        order_min=0,
        range=None,
        include_x_axis=True,
        rounded_bars=2,
    )
    chart.x_labels = list(labels)
    return chart


def _drawn(chart: pygal.Graph) -> bytes:
    drawn = _NOISE.sub("", chart.render(is_unicode=True, disable_xml_declaration=True))
    drawn = _ID.sub("chart", drawn)
    return drawn.replace("</style>", DARK + "</style>", 1).encode()


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"
