"""The sweep through Stripe's lists that ``newsstand reconcile`` and ``newsstand import`` share, with a progress bar."""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta

import typer

from app.cli.startup import FAILED, command_settings, operator
from app.cli.times import parse_time
from app.context import Context
from app.db.engine import leases
from app.db.reconciliation import WORK_KEY, Sweep
from app.domain.errors import ConcurrentUpdate, StripeUnavailable
from app.domain.reconciliation import PHASES, AlreadyReconciling, SweepPhase
from app.gateway.rate_limits import backlog
from app.services import catalogue, reconciliation
from app.services.reconciliation import Importing, Report
from app.settings import Settings

NEEDS_REVIEW = 2  # exit status
COMPARED = (SweepPhase.SUBSCRIPTIONS, SweepPhase.PAYMENTS, SweepPhase.REFUNDS)


def run_sweep(
    *,
    kind: str,
    since: str | None,
    dry_run: bool,
    restart: bool,
    importing: Importing | None = None,
    quiet: bool = False,
) -> Report:
    """Run a sweep to its end with a progress bar. Print an error and exit if it fails."""
    with command_settings() as settings:
        try:
            return asyncio.run(
                _sweep(settings, kind, since, dry_run=dry_run, restart=restart, importing=importing, quiet=quiet)
            )
        except StripeUnavailable as unavailable:
            typer.echo(f"Could not reach Stripe at {settings.stripe_url}: {unavailable}", err=True)
            typer.echo("Progress is saved. Run the same command to continue.", err=True)
        except ConcurrentUpdate:
            typer.echo("Another process continues this run.", err=True)
        raise typer.Exit(FAILED)


async def _sweep(
    settings: Settings,
    kind: str,
    since: str | None,
    *,
    dry_run: bool,
    restart: bool,
    importing: Importing | None,
    quiet: bool,
) -> Report:
    from app import main  # imported here to keep the other commands fast

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        now = await ctx.clock.policy()
        async with exclusively(ctx):
            sweep, interrupted = await reconciliation.begin(
                ctx,
                kind=kind,
                by=operator(),
                dry_run=dry_run,
                since=parse_time(since, now=now, option="--since"),
                restart=restart,
            )
            if interrupted and not quiet:
                typer.echo(f"Continuing the interrupted run of {_minute(sweep.created_at)}.", err=True)
            with backlog(), ExitStack() as shown:  # gives way to requests that readers wait for
                size = sum((await reconciliation.sizes(ctx)).values())
                progress = progress_bar(shown, size) if not quiet else lambda _: None
                return await reconciliation.run(ctx, sweep.id, now=now, progress=progress, importing=importing)


@asynccontextmanager
async def exclusively(ctx: Context, *, patience: timedelta = timedelta(0)) -> AsyncIterator[None]:
    """
    Hold the lease of sweeps during the block.

    :param patience: how long to wait for it. A killed process leaves its lease behind, which expires.
    :raises AlreadyReconciling: another process holds it.
    """
    owner, lease = f"{operator()}-{secrets.token_hex(4)}", ctx.settings.lease
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        async with ctx.sessions.begin() as session:
            if await leases.take(session, WORK_KEY, owner=owner, lease=lease):
                break
        if time.monotonic() >= deadline:
            raise AlreadyReconciling
        await asyncio.sleep(0.2)
    async with leases.keep_lease(ctx.sessions, WORK_KEY, owner=owner, lease=lease):
        yield


def progress_bar(shown: ExitStack, size: int) -> Callable[[Sweep], None]:
    """Return a callback that updates the bar. Its length is our row count: Stripe does not tell the length of a list."""
    bar = shown.enter_context(
        typer.progressbar(length=max(size, 1), label="Comparing", file=sys.stderr, show_eta=True, show_pos=True)
    )
    seen = 0

    def update(sweep: Sweep) -> None:
        nonlocal seen
        compared = sum(sweep.counts.get(name, 0) for name in COMPARED)
        bar.label = f"Comparing {sweep.phase}" if sweep.phase in PHASES[sweep.kind][:-1] else "Compared"
        bar.length = max(bar.length or 1, compared)
        bar.update(compared - seen)
        seen = compared

    return update


def print_json(report: Report) -> None:
    """Print the report as JSON."""
    sweep = report.sweep
    typer.echo(
        json.dumps(
            {
                "id": sweep.id,
                "kind": sweep.kind,
                "dry_run": sweep.dry_run,
                "since": sweep.since.isoformat() if sweep.since else None,
                "started_at": sweep.created_at.isoformat(),
                "finished_at": sweep.finished_at.isoformat() if sweep.finished_at else None,
                "looked_at": dict(sweep.counts),
                "total": report.counts.total,  # the lists have the first thousand
                "for_review": report.counts.for_review,
                "unusual_total": report.counts.unusual,
                "differences": [
                    {"object": one.object_id, "words": one.words, "looked_at_anew": one.key}
                    for one in report.differences
                    if one.code is None
                ],
                "unusual": [{"object": one.object_id, "code": one.code, "words": one.words} for one in report.unusual],
            },
            indent=2,
        )
    )


def summary(report: Report) -> str:
    """Return a sentence with the number of objects compared."""
    counts = report.sweep.counts
    parts = [f"{counts.get(name, 0):,} {name}" for name in PHASES[report.sweep.kind][:-1]]
    return f"Compared {', '.join(parts[:-1])} and {parts[-1]}."


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
