"""What ``newsstand reconcile`` and ``newsstand import`` have in common: a sweep through Stripe's lists, with a bar."""

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime

import typer

from app.cli.moments import moment
from app.cli.startup import WRONG, operator, started
from app.db.engine import leases
from app.db.reconciliation import WORK_KEY, Sweep
from app.db.subscriptions import ConcurrentUpdate
from app.domain.errors import StripeUnavailable
from app.domain.reconciliation import PAYMENTS, PHASES, REFUNDS, SUBSCRIPTIONS, AlreadyReconciling
from app.gateway.rate_limits import backlog
from app.services import catalogue, reconciliation
from app.services.reconciliation import Importing, Report
from app.settings import Settings

FOR_PEOPLE = 2  # exit status: a person has to look
COMPARED = (SUBSCRIPTIONS, PAYMENTS, REFUNDS)


def swept(
    *, kind: str, since: str | None, dry_run: bool, anew: bool, importing: Importing | None = None, quiet: bool = False
) -> Report:
    """Go through a sweep to its end, with a bar; say what went wrong, and leave."""
    with started() as settings:
        try:
            return asyncio.run(
                _sweep(settings, kind, since, dry_run=dry_run, anew=anew, importing=importing, quiet=quiet)
            )
        except StripeUnavailable as unavailable:
            typer.echo(f"Stripe at {settings.stripe_url} could not be asked: {unavailable}", err=True)
            typer.echo("What was found so far is kept. The same command goes on from there.", err=True)
        except ConcurrentUpdate:
            typer.echo("Another process goes on with it.", err=True)
        raise typer.Exit(WRONG)


async def _sweep(
    settings: Settings,
    kind: str,
    since: str | None,
    *,
    dry_run: bool,
    anew: bool,
    importing: Importing | None,
    quiet: bool,
) -> Report:
    from app import main  # here, so that the quick commands do not wait for it

    async with main.parts(settings, catalogue.load(settings.catalogue)) as built:
        sessions, owner, now = built.sessions, f"{operator()}-{secrets.token_hex(4)}", await built.clock.policy()
        async with sessions.begin() as session:
            if not await leases.take(session, WORK_KEY, owner=owner, lease=settings.lease):
                raise AlreadyReconciling
        async with leases.held(sessions, WORK_KEY, owner=owner, lease=settings.lease):
            sweep, cut = await reconciliation.begin(
                sessions,
                kind=kind,
                by=operator(),
                dry_run=dry_run,
                since=moment(since, now=now, option="--since"),
                anew=anew,
            )
            if cut and not quiet:
                typer.echo(f"Goes on where the run of {_minute(sweep.created_at)} was cut short.", err=True)
            with backlog(), ExitStack() as shown:  # nobody waits for it as a reader does
                told = (
                    _bar(shown, sum((await reconciliation.sizes(sessions)).values())) if not quiet else lambda _: None
                )
                return await reconciliation.run(
                    sessions,
                    built.gateway,
                    built.rules,
                    sweep.id,
                    livemode=settings.livemode,
                    now=now,
                    told=told,
                    importing=importing,
                )


def _bar(shown: ExitStack, size: int) -> Callable[[Sweep], None]:
    """Return what moves a bar on. It is as long as our own books; Stripe does not say how long its lists are."""
    bar = shown.enter_context(
        typer.progressbar(length=max(size, 1), label="Comparing", file=sys.stderr, show_eta=True, show_pos=True)
    )
    seen = 0

    def told(sweep: Sweep) -> None:
        nonlocal seen
        compared = sum(sweep.counts.get(name, 0) for name in COMPARED)
        bar.label = f"Comparing {sweep.phase}" if sweep.phase in PHASES[sweep.kind][:-1] else "Compared"
        bar.length = max(bar.length or 1, compared)
        bar.update(compared - seen)
        seen = compared

    return told


def told_as_json(report: Report) -> None:
    """Print a report for programs."""
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
                "differences": [
                    {"object": one.object_id, "words": one.words, "looked_at_anew": one.key}
                    for one in report.differences
                ],
            },
            indent=2,
        )
    )


def looked_at(report: Report) -> str:
    """Return in a sentence how much was looked at."""
    counts = report.sweep.counts
    parts = [f"{counts.get(name, 0):,} {name}" for name in PHASES[report.sweep.kind][:-1]]
    return f"Looked at {', '.join(parts[:-1])} and {parts[-1]}."


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
