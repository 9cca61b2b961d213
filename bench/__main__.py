"""`python -m bench`: run the benchmarks, print the ratios and write them to a file."""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from bench.benchmarks import all_benchmarks
from bench.environment import DEFAULT_LARGE_READERS, DEFAULT_READERS, Environment
from bench.runner import Benchmark, measure, table

RESULTS = Path(__file__).parent / "results.json"
RELIABLE_PAIRS = 9

DESCRIPTION = """\
Measure the service against baselines, such as a bare ASGI reply or a plain asyncpg query.

Each benchmark runs the service and its baseline in interleaved pairs of short runs and reports the ratio of the two,
with the median over all pairs. Absolute figures depend on the machine and the minute; ratios don't. Run it on a machine
with nothing else to do."""


def main() -> int:
    """Run the selected benchmarks. Return the exit status."""
    benchmarks = {benchmark.name: benchmark for benchmark in all_benchmarks()}
    options = _parser(benchmarks.values()).parse_args()
    started_at = time.monotonic()
    with Environment(_report, readers=options.readers, large_readers=options.more_readers) as environment:
        results = [
            measure(benchmark, environment, pairs=options.pairs, seconds=options.seconds)
            for name, benchmark in benchmarks.items()
            if not options.only or name in options.only
        ]
        _report("Stopping everything ...")
    options.output.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    print(table(results))
    _report(f"Wrote {options.output} after {time.monotonic() - started_at:.0f} seconds.")
    if options.pairs < RELIABLE_PAIRS:
        _report(f"With fewer than {RELIABLE_PAIRS} pairs, the figures are not reliable.")
    return 0


def _parser(benchmarks: Iterable[Benchmark]) -> argparse.ArgumentParser:
    listing = "\n".join(f"  {benchmark.name:<26}{benchmark.description}" for benchmark in benchmarks)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [benchmark.name for benchmark in benchmarks]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help="run one benchmark; repeatable")
    parser.add_argument(
        "--pairs",
        type=_positive,
        default=RELIABLE_PAIRS,
        help="pairs of runs for each benchmark (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each run in seconds (default: 1)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="results file (default: bench/results.json)")
    parser.add_argument(
        "--readers", type=int, default=DEFAULT_READERS, help=f"readers in the database (default: {DEFAULT_READERS:,})"
    )
    parser.add_argument(
        "--more-readers", type=int, default=DEFAULT_LARGE_READERS,
        help=f"readers in the large database of check_5m_vs_1m (default: {DEFAULT_LARGE_READERS:,})",
    )  # fmt: skip
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
