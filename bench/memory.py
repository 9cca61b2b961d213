"""
The memory of a worker while it applies many events. It should stay flat; growth is a leak.

``python -m bench.memory`` applies 200,000 events, six for each subscription, against a fake Stripe. After each tenth of the
events it prints the resident memory of the worker.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import load_generator
from bench.benchmarks import webhook_apply
from bench.environment import Environment
from bench.fake_stripe import response_template

EVENTS_PER_SUBSCRIPTION = len(webhook_apply.EVENT_TYPES)
STEPS = 10


def resident_memory(environment: Environment, events: int, report: Callable[[str], None]) -> Iterator[int]:
    """Apply events in ten steps, and yield the worker's resident memory after each step, in kilobytes."""
    bodies = response_template(environment)
    port = environment.fake_stripe(bodies)
    dsn = environment.migrated_database("applied")
    pid = environment.worker(dsn, f"http://{load_generator.HOST}:{port}")
    apply = webhook_apply.worker_side(environment, bodies, EVENTS_PER_SUBSCRIPTION, itertools.count(1))
    for step in range(1, STEPS + 1):
        subscriptions = events / STEPS / EVENTS_PER_SUBSCRIPTION
        run = apply(subscriptions / webhook_apply.SUBSCRIPTIONS_PER_SECOND[EVENTS_PER_SUBSCRIPTION])
        resident = _resident_kilobytes(pid)
        report(f"{events * step // STEPS:>8,} events, {run.rate:,.0f} per second: {resident / 1024:.1f} MB")
        yield resident


def _resident_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def main() -> int:
    """Measure and print the memory. Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory", description="Measure the memory of a worker while it applies many events."
    )
    parser.add_argument("--events", type=int, default=200_000, help="number of events (default: 200,000)")
    events: int = parser.parse_args().events
    with Environment(lambda text: print(text, file=sys.stderr, flush=True)) as environment:
        resident = list(resident_memory(environment, events, print))
    print(f"From the first tenth to the last: {(resident[-1] - resident[0]) / 1024:+.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
