"""
Interleaved pairs of runs, and the results.

The ratio of a result is the median of the ratios of its pairs, and ``value`` and ``limit`` (the baseline) are those of
the median pair; of an even number of pairs, the worse of the two in the middle. The 99th percentile of the latencies is
for information only, except where it is what is compared.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.environment import Environment
from bench.load_generator import Run

MAX_LOAD_USE = 0.9  # share of its core; above it, the load generator is the bottleneck
WARM_UP = 1.0  # seconds, at most

# What is compared: operations per second, or in microseconds the time per operation or a percentile of the latencies.
Figure = Literal["rate", "time", "p95", "p99"]
Side = Callable[[float], Run]  # runs one side for a number of seconds


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: the service and its baseline. A higher rate is better; a lower time is."""

    name: str
    unit: str
    description: str
    sides: Callable[[Environment], tuple[Side, Side]]  # the service, the baseline
    figure: Figure = "rate"


@dataclass(frozen=True, slots=True)
class Result:
    """The measurements of a benchmark."""

    name: str
    unit: str
    pairs: Sequence[tuple[Run, Run]]
    kind: Figure = "rate"

    def figure(self, run: Run) -> float:
        """Return the figure of a run that counts."""
        match self.kind:
            case "rate":
                return run.rate
            case "time":
                return 1e6 / run.rate
            case "p95":
                return run.p95 * 1e6
            case "p99":
                return run.p99 * 1e6

    def ratio(self, pair: tuple[Run, Run]) -> float:
        """Return the service's figure divided by the baseline's."""
        return self.figure(pair[0]) / self.figure(pair[1])

    @property
    def median_pair(self) -> tuple[Run, Run]:
        """The pair with the median ratio."""
        ordered = sorted(self.pairs, key=self.ratio, reverse=self.kind != "rate")  # the worse ratio first
        return ordered[(len(ordered) - 1) // 2]

    def as_json(self) -> dict[str, str | float]:
        """Return the result for the results file."""
        value, limit = (round(self.figure(run), 1) for run in self.median_pair)
        return {"name": self.name, "value": value, "unit": self.unit, "limit": limit, "ratio": round(value / limit, 3)}


def measure(benchmark: Benchmark, environment: Environment, *, pairs: int, seconds: float) -> Result:
    """Run a benchmark: a warm-up, then the pairs, in which the two sides take turns to go first."""
    service, baseline = benchmark.sides(environment)
    environment.report(f"{benchmark.name}: {benchmark.description}")
    for side in (service, baseline):
        side(min(seconds, WARM_UP))
    measured: list[tuple[Run, Run]] = []
    result = Result(benchmark.name, benchmark.unit, measured, benchmark.figure)
    for number in range(pairs):
        if number % 2:
            baseline_run = baseline(seconds)
            measured.append((service(seconds), baseline_run))
        else:
            service_run = service(seconds)
            measured.append((service_run, baseline(seconds)))
        pair = measured[-1]
        figures = f"{result.figure(pair[0]):,.0f} against {result.figure(pair[1]):,.0f} {benchmark.unit}"
        environment.report(f"  pair {number + 1} of {pairs}: {figures}, ratio {result.ratio(pair):.2f}")
    return result


def table(results: Sequence[Result]) -> str:
    """Return the results as a table: the median pair, the range of the ratios, and the latencies."""
    width = max(len(result.name) for result in results)
    header = (
        f"{'':{width}}  {'ratio':>6}  {'min':>5} {'max':>5}  {'service':>9}  {'baseline':>9}  {'p99 of both, ms':>17}"
    )
    lines = [header]
    for result in results:
        service, baseline = result.median_pair
        ratios = sorted(map(result.ratio, result.pairs))
        p99 = " ".join(f"{statistics.median(pair[i].p99 for pair in result.pairs) * 1000:8.1f}" for i in (0, 1))
        lines.append(
            f"{result.name:{width}}  {result.ratio(result.median_pair):6.2f}  {ratios[0]:5.2f} {ratios[-1]:5.2f}"
            f"  {result.figure(service):9,.0f}  {result.figure(baseline):9,.0f}  {p99}  {result.unit}"
        )
    for result in results:
        use = [statistics.median(pair[i].load_use for pair in result.pairs) for i in (0, 1)]
        note = f"{result.name}: load generator used {use[0]:.0%} of its core (service), {use[1]:.0%} (baseline)"
        lines.append(note + (": IT WAS THE BOTTLENECK" if max(use) > MAX_LOAD_USE else ""))
    return "\n".join(lines)
