"""
Pairs of runs, interleaved, and what is said of them.

The ratio of a row is the median of its pairs' ratios, and ``value`` and ``limit`` are those of the pair in the middle; of
an even number of pairs, the worse of the two. The 99th percentile of the latencies is said, and never judged.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.load import Run
from bench.stage import Stage

BUSY = 0.9  # of its core; above that the load, or what else runs on its core, is what is measured
WARM_UP = 1.0  # seconds, at most

Side = Callable[[float], Run]  # told for how many seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """One row: what is ours and what it is held against. Rates: more is better; with ``time``, less is."""

    name: str
    unit: str
    what: str
    sides: Callable[[Stage], tuple[Side, Side]]  # ours, the limit
    time: bool = False  # the row tells microseconds for each, and not how many a second


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured."""

    name: str
    unit: str
    pairs: Sequence[tuple[Run, Run]]
    time: bool = False

    def figure(self, run: Run) -> float:
        """Return what the row tells of a run."""
        return 1e6 / run.rate if self.time else run.rate

    def ratio(self, pair: tuple[Run, Run]) -> float:
        """Return ours by the limit."""
        return self.figure(pair[0]) / self.figure(pair[1])

    @property
    def middle(self) -> tuple[Run, Run]:
        """The pair whose ratio is the median."""
        ordered = sorted(self.pairs, key=self.ratio, reverse=self.time)  # of an even number: the worse one
        return ordered[(len(ordered) - 1) // 2]

    def as_json(self) -> dict[str, str | float]:
        """Return the row as it is written."""
        ours, limit = (round(self.figure(run), 1) for run in self.middle)
        return {"name": self.name, "value": ours, "unit": self.unit, "limit": limit, "ratio": round(ours / limit, 3)}


def measure(bench: Bench, stage: Stage, *, pairs: int, seconds: float) -> Row:
    """Run a bench: a warm-up, then the pairs, now the one side first and now the other."""
    ours, limit = bench.sides(stage)
    stage.say(f"{bench.name}: {bench.what}")
    for side in (ours, limit):
        side(min(seconds, WARM_UP))
    done: list[tuple[Run, Run]] = []
    row = Row(bench.name, bench.unit, done, bench.time)
    for number in range(pairs):
        if number % 2:
            beside = limit(seconds)
            done.append((ours(seconds), beside))
        else:
            own = ours(seconds)
            done.append((own, limit(seconds)))
        value, bare = done[-1]
        figures = f"{row.figure(value):,.0f} to {row.figure(bare):,.0f}"
        stage.say(f"  pair {number + 1} of {pairs}: {figures}, {row.ratio(done[-1]):.2f}")
    return row


def table(rows: Sequence[Row]) -> str:
    """Return the rows for people: the middle pair, the spread of the ratios, and the latencies."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}  {'ratio':>6}  {'from':>5} {'to':>5}  {'ours':>9}  {'limit':>9}  {'p99 of both, ms':>17}"]
    for row in rows:
        ours, limit = row.middle
        ratios = sorted(map(row.ratio, row.pairs))
        late = " ".join(f"{statistics.median(p[i].p99 for p in row.pairs) * 1000:8.1f}" for i in (0, 1))
        lines.append(
            f"{row.name:{width}}  {row.ratio(row.middle):6.2f}  {ratios[0]:5.2f} {ratios[-1]:5.2f}"
            f"  {row.figure(ours):9,.0f}  {row.figure(limit):9,.0f}  {late}  {row.unit}"
        )
    for row in rows:
        busy = [statistics.median(pair[i].busy for pair in row.pairs) for i in (0, 1)]
        note = f"{row.name}: the load wanted {busy[0]:.0%} of its core beside ours and {busy[1]:.0%} beside the limit"
        lines.append(note + (": IT WAS THE BOTTLENECK" if max(busy) > BUSY else ""))
    return "\n".join(lines)
