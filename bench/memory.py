"""
A worker's memory while it applies many events: flat, or something is kept that should not be.

``python -m bench.memory`` applies 200,000 in bursts of six for each subscription, against a Stripe that answers at once, and
says after each tenth how much the worker's process holds.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import load
from bench.rows import apply
from bench.stage import Stage
from bench.standin import template

EACH = len(apply.BURST)
STEPS = 10


def held(stage: Stage, events: int, say: Callable[[str], None]) -> Iterator[int]:
    """Apply so many events in ten steps; give what the worker holds after each, in kilobytes."""
    bodies = template(stage)
    port = stage.standin(bodies)
    pid = stage.worker(stage.migrated("applied"), f"http://{load.HOST}:{port}")
    run = apply.applying(stage, bodies, EACH, itertools.count(1))
    for step in range(1, STEPS + 1):
        done = run(events / STEPS / EACH / apply.ENOUGH[EACH])
        held_now = _resident(pid)
        say(f"{events * step // STEPS:>8,} events, {done.rate:,.0f} a second: {held_now / 1024:.1f} MB")
        yield held_now


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def main() -> int:
    """Say how it grows. Status 0: it was measured."""
    asked = argparse.ArgumentParser(prog="python -m bench.memory", description="A worker's memory over many events.")
    asked.add_argument("--events", type=int, default=200_000)
    events: int = asked.parse_args().events
    with Stage(lambda text: print(text, file=sys.stderr, flush=True)) as stage:
        held_after = list(held(stage, events, print))
    print(f"From the first tenth to the last: {(held_after[-1] - held_after[0]) / 1024:+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
