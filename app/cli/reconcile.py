"""``newsstand reconcile``: compare the database with Stripe and repair the differences."""

from typing import Annotated

import typer

from app.cli.sweeps import NEEDS_REVIEW, print_json, run_sweep, summary
from app.cli.times import TIME_FORMATS
from app.domain.reconciliation import SweepKind


def reconcile(
    since: Annotated[
        str | None, typer.Option(help=f"Compare payments, refunds and events since: {TIME_FORMATS}")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences without repairing them.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over instead of continuing an interrupted run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report, and no progress bar.")] = False,
) -> None:
    """Compare every subscription, payment and refund with Stripe, and repair the differences.

    First, events that Stripe could not deliver are stored; with --since, all missing events since then. Then Stripe's
    lists are read, 100 objects a call. Workers fetch each object that differs again as if a webhook had arrived, and
    1,000 differences are printed, those that need review first. This runs automatically every night; run it manually
    after an outage (see the runbook).

    You can stop it at any time; the next run continues. If nothing differs, it changes nothing.

    \b
    newsstand reconcile --dry-run
    newsstand reconcile
    newsstand reconcile --since 3d --json
    Exit status: 0 if nothing differs or all differences are being repaired; 1 on an error (run it again to continue);
    2 if some need review or, with --dry-run, if anything differs.
    """
    report = run_sweep(kind=SweepKind.RECONCILE, since=since, dry_run=dry_run, restart=restart, quiet=as_json)
    if as_json:
        print_json(report)
    else:
        for one in report.differences:
            typer.echo(one.words + ("" if one.key is not None else "  (needs review; nothing was changed)"))
        if report.unlisted:
            unseen = report.counts.for_review - len(report.for_review)
            review = f"; {unseen:,} of them need review" if unseen else ""
            typer.echo(f"... and {report.unlisted:,} more{review}", err=True)
        typer.echo(summary(report), err=True)
        typer.echo(_result(report.counts.total, report.counts.for_review, dry_run=dry_run), err=True)
    if report.for_review or (dry_run and report.differences):
        raise typer.Exit(NEEDS_REVIEW)


def _result(differences: int, for_review: int, *, dry_run: bool) -> str:
    if not differences:
        return "Nothing differs from Stripe."
    if dry_run:
        return f"{differences} would be fetched again or need review."
    refetched = differences - for_review
    return f"{refetched} will be fetched again; {for_review} {'needs' if for_review == 1 else 'need'} review."
