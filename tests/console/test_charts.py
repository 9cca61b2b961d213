"""The dashboard's charts."""

from datetime import date
from xml.etree import ElementTree as ET

import pytest

from app.console import charts
from app.console.charts import Chart, Series
from app.domain.dashboard_stats import (
    DashboardStats,
    OverdueTotal,
    RefundTotal,
    SubscriptionCount,
    Week,
    percent_change,
)

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = DashboardStats(
    subscriptions=[
        SubscriptionCount("active", False, 1200),
        SubscriptionCount("active", True, 800),
        SubscriptionCount("past_due", False, 3),
        SubscriptionCount("canceled", True, 9),
    ],
    weeks=[Week(date(2026, 1, 5 + 7 * number), number * 10, number) for number in range(3)],
    refunds=[RefundTotal("guarantee", "other", 2, 9800, "usd"), RefundTotal("goodwill", "hardship", 1, 500, "usd")],
    unpaid=[OverdueTotal("3 to 6 days", 4, 19600, "usd")],
)
EMPTY = DashboardStats(subscriptions=[], weeks=[], refunds=[], unpaid=[])


@pytest.mark.parametrize("name", charts.FIGURES)
@pytest.mark.parametrize("figures", [FIGURES, EMPTY], ids=["figures", "no figures"])
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_chart_is_accessible_and_stays_within_its_borders(name: str, figures: DashboardStats, *, narrow: bool) -> None:
    image = ET.fromstring(charts.svg(charts.FIGURES[name](figures), narrow=narrow))
    assert image.get("role") == "img"
    assert image.findtext(f"{SVG}title")
    assert image.find(f"{SVG}desc") is not None
    width, height = float(image.get("width", 0)), float(image.get("height", 0))
    for bar in image.iter(f"{SVG}rect"):
        x, y, bar_width, bar_height = (float(bar.get(side, -1)) for side in ("x", "y", "width", "height"))
        assert 0 <= x <= x + bar_width <= width
        assert 0 <= y <= y + bar_height <= height
    for text in image.iter(f"{SVG}text"):
        assert 0 <= float(text.get("y", -1)) <= height


def test_weeks_before_the_first_change_are_left_out() -> None:
    assert [week.new for week in FIGURES.busy_weeks] == [10, 20]
    assert EMPTY.busy_weeks == []


def test_growth_is_of_complete_weeks() -> None:
    assert FIGURES.growth == 0 - 0 + 10 - 1, "the last week has not ended"


@pytest.mark.parametrize(
    ("now", "before", "change"), [(150, 100, 50), (50, 100, -50), (1, 3, -67), (5, 0, None), (0, 0, None)]
)
def test_a_trend_is_in_percent_of_the_period_before(now: int, before: int, change: int | None) -> None:
    assert percent_change(now, before) == change


def test_lengths_of_bars_are_proportional_to_their_values() -> None:
    chart = Chart(title="Bars", categories=["a", "b"], series=[Series("n", [100, 25])], rows=True)
    long, short = (bar.width for bar in charts.layout(chart, narrow=False).rectangles)
    assert (short + 1) / (long + 1) == pytest.approx(0.25)


def test_description_contains_all_values() -> None:
    description = charts.subscribers(FIGURES).description
    assert description == "Active: 1,200 digital, 800 print and digital. Past due: 3 digital, 0 print and digital."


def test_names_in_a_chart_are_escaped() -> None:
    chart = Chart(title="<script>", categories=["&"], series=[Series("<b>", [1])], rows=True)
    image = ET.fromstring(charts.svg(chart))
    assert image.findtext(f"{SVG}title") == "<script>"
    assert image.find(f".//{SVG}script") is None


@pytest.mark.parametrize(
    ("highest", "ticks"), [(0, [0, 1]), (3, [0, 1, 2, 3]), (7, [0, 2, 4, 6, 8]), (2000, [0, 500, 1000, 1500, 2000])]
)
def test_ticks_are_round_numbers(highest: int, ticks: list[int]) -> None:
    assert charts._ticks(highest) == ticks
