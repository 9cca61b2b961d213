"""
How long a nightly reconciliation takes: ``python -m bench.reconciliation``.

A fake Stripe lists subscriptions and one paid invoice for each, and takes a second for each page. Our records are the
same, so nothing differs. The rate limits are the default ones: 20 calls a second to each list. The time for a million is
extrapolated from the rate of the calls.
"""

import argparse
import asyncio
import json
import os
import resource
import time
from datetime import UTC, datetime

import asyncpg
from pydantic import SecretStr

from app import main
from app.domain.reconciliation import SweepKind, SweepPhase
from app.gateway import translate
from app.gateway.client import Plain
from app.gateway.rate_limits import CALLS, backlog
from app.services import catalogue, reconciliation
from app.settings import Settings
from bench import fake_stripe
from bench.environment import ROOT, Environment
from bench.fake_stripe import PLACEHOLDER
from bench.load_generator import HOST
from bench.stripe_lists import creation_times

UNTIL = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
PAGE, MILLION, TARGET_MINUTES = 100, 1_000_000, 40
LISTS = {SweepPhase.SUBSCRIPTIONS: "GET subscriptions", SweepPhase.PAYMENTS: "GET invoices"}
_NUMBERS = "unnest($1::bigint[]) WITH ORDINALITY AS c (at, n), LATERAL (SELECT lpad((n - 1)::text, 8, '0') AS k) k"
_SUBSCRIBERS = f"""
INSERT INTO subscribers (id, sub, stripe_customer_id)
SELECT 'rdr_' || k, 'reader-' || k, replace($2, '{PLACEHOLDER}', k) FROM {_NUMBERS}
"""
_SUBSCRIPTIONS = f"""
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, current_period_start, current_period_end, work_key)
SELECT 'scr_' || k, replace($2, '{PLACEHOLDER}', k), 'rdr_' || k, 1, 'annual', true, $3, $4, 'usd', to_timestamp(at), $5, $6,
    'subscription:' || k
FROM {_NUMBERS}
"""
_PAYMENTS = f"""
INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)
SELECT replace($2, '{PLACEHOLDER}', k), 'in_' || k, 'scr_' || k, $3, 0, 'usd', $4, 'subscription_create' FROM {_NUMBERS}
"""


class Lag:
    """How long other tasks of the process wait while the sweep runs."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def watch(self) -> None:
        """Measure until canceled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.seconds.append(time.monotonic() - began - 0.01)

    def percentile(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * share)] * 1000


async def fill(dsn: str, templates: dict[str, str], created: list[int]) -> None:
    """Insert our records of the objects of the fake Stripe."""
    theirs = json.loads(templates["subscriptions"], object_hook=Plain)
    invoice = translate.listed_invoice(json.loads(templates["invoices"], object_hook=Plain).data[0]).invoice
    seen = translate.subscription(theirs, [])
    assert seen.period is not None
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute(_SUBSCRIBERS, created, seen.customer_id)
        await connection.execute(_SUBSCRIPTIONS, created, seen.id, seen.status, seen.price, *seen.period)
        (paid,) = invoice.payments
        await connection.execute(_PAYMENTS, created, paid.id, paid.amount, paid.paid_at)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def measure(dsn: str, stripe_url: str, size: int) -> dict[str, tuple[float, int]]:
    """Run a sweep; return the seconds and the calls of each list, and print what it cost."""
    settings = Settings(database_url=SecretStr(dsn), stripe_url=stripe_url)
    times: dict[str, float] = {}

    def note(sweep: reconciliation.Sweep) -> None:
        times.setdefault(sweep.phase, time.monotonic())

    lag = Lag()
    cpu = time.process_time()
    async with main.open_context(settings, catalogue.load(ROOT / "catalogue.toml")) as ctx:
        sweep, _ = await reconciliation.begin(
            ctx, kind=SweepKind.RECONCILE, by="operator:bench", dry_run=False, since=None, restart=True
        )
        watching = asyncio.create_task(lag.watch())
        with backlog():
            report = await reconciliation.run(ctx, sweep.id, now=datetime.now(UTC), progress=note)
        watching.cancel()
    counts = report.sweep.counts
    assert not report.differences, report.differences[:3]
    assert (counts["subscriptions"], counts["payments"]) == (size, size), counts
    following = {SweepPhase.SUBSCRIPTIONS: SweepPhase.PAYMENTS, SweepPhase.PAYMENTS: SweepPhase.REFUNDS}
    print(
        f"CPU time of the process {time.process_time() - cpu:.0f} s, memory at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB; another task of it waited "
        f"{lag.percentile(0.5):.0f} ms (median), {lag.percentile(0.99):.0f} ms (p99)"
    )
    return {
        phase: (times[following[phase]] - times[phase], int(CALLS.labels(name, 200)._value.get()))
        for phase, name in LISTS.items()
    }


def report(found: dict[str, tuple[float, int]], size: int, latency: float) -> float:
    """Print the figures of each list; return the minutes that a million takes."""
    minutes = 0.0
    for phase, (seconds, calls) in found.items():
        # The calls that find a range empty hardly grow with the size; the rate of the calls is what this run reached.
        extrapolated = (calls + (MILLION - size) // PAGE) / (calls / seconds) / 60
        minutes += extrapolated
        print(
            f"{phase:14} {size:,} objects in {seconds:.1f} s: {calls:,} calls for {size // PAGE:,} pages, "
            f"{calls / seconds:.1f} calls a second; a million in {extrapolated:.1f} min "
            f"(one page after another: {MILLION / PAGE * latency / 60:.0f} min)"
        )
    print(f"{'together':14} a million in {minutes:.1f} min; target {TARGET_MINUTES}")
    return minutes


def run() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconciliation", description=__doc__)
    parser.add_argument("--subscribers", type=int, default=50_000, help="at most 1,000,000 (default: 50,000)")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds for each page (default: 1)")
    options = parser.parse_args()
    size = min(options.subscribers, MILLION)
    with Environment(print) as environment:
        templates = fake_stripe.response_template(environment)
        created = creation_times(size, until=UNTIL)
        dsn = environment.migrated_database("reconciliation")
        print(f"Inserting {size:,} subscriptions and payments ...")
        asyncio.run(fill(dsn, templates, created))
        bodies = {
            "/v1/subscriptions": json.loads(templates["subscriptions"]),
            "/v1/invoices": json.loads(templates["invoices"])["data"][0],
        }
        port = environment.stripe_lists(bodies, size=size, until=UNTIL, latency=options.latency)
        print(f"Reconciling; the load of the machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores ...")
        found = asyncio.run(measure(dsn, f"http://{HOST}:{port}", size))
        return 0 if report(found, size, options.latency) <= TARGET_MINUTES else 1


if __name__ == "__main__":
    raise SystemExit(run())
