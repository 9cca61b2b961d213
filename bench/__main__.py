"""Run the benches: ``python -m bench``. Says the ratios, and writes them; judges none."""

import argparse
import json
import sys
import time
from pathlib import Path

from bench.rows import found
from bench.runner import measure, table
from bench.stage import MORE_READERS, READERS, Stage

RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Measure what was asked for. Status 0: every row was measured."""
    benches = {bench.name: bench for bench in found()}
    asked = argparse.ArgumentParser(
        prog="python -m bench", description="Ratios, each beside its limit in the same run."
    )
    asked.add_argument("--only", metavar="NAME", action="append", choices=[*benches], help="may be given several times")
    asked.add_argument("--pairs", type=_pairs, default=9, help="interleaved pairs of runs for each row (default: 9)")
    asked.add_argument("--seconds", type=float, default=1.0, help="how long each run lasts (default: 1)")
    asked.add_argument("--output", type=Path, default=RESULTS, help="where the results are written")
    asked.add_argument("--readers", type=int, default=READERS, help=f"in the table (default: {READERS:,})")
    asked.add_argument(
        "--more-readers", type=int, default=MORE_READERS, help=f"in the larger (default: {MORE_READERS:,})"
    )
    options = asked.parse_args()
    started = time.monotonic()
    with Stage(_say, readers=options.readers, more=options.more_readers) as stage:
        rows = [
            measure(bench, stage, pairs=options.pairs, seconds=options.seconds)
            for name, bench in benches.items()
            if not options.only or name in options.only
        ]
        _say("Taking everything down ...")
    options.output.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    print(table(rows))
    _say(f"{options.output} was written after {time.monotonic() - started:.0f} s.")
    if options.pairs < 9:  # fewer tell whether it works, and nothing else
        _say("Fewer than 9 pairs: these figures are no measurement.")
    return 0


def _pairs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one pair is needed")
    return number


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
