"""``newsstand reconcile``: our books against Stripe's."""

from typing import Annotated

import typer

from app.cli.moments import HELP
from app.cli.sweeping import FOR_PEOPLE, looked_at, swept, told_as_json
from app.domain.reconciliation import RECONCILE


def reconcile(
    since: Annotated[
        str | None, typer.Option(help=f"Payments and refunds made since then, and every event since: {HELP}")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Begin at the beginning, though a run was cut short.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A report for programs, and no bar.")] = False,
) -> None:
    """Compare every subscription, payment and refund with Stripe's lists, and have mended what differs.

    First the events are taken in that Stripe could not deliver; with --since, all that it told of since then and that are
    not here. Then the lists are gone through, a hundred a call. What differs is said in words and looked at anew by the
    workers, as if a webhook had told of it. It runs by itself each night; by hand after an outage: see the runbook.

    Stopped or killed, it goes on from there when it is run again. Run when all is right, it changes nothing.

    \b
    newsstand reconcile --dry-run
    newsstand reconcile
    newsstand reconcile --since 3d --json
    Exit status: 0 nothing differs, or what does is looked at anew; 1 it could not be found out, and can be gone on with;
    2 a person has to look, or, with --dry-run, something differs.
    """
    report = swept(kind=RECONCILE, since=since, dry_run=dry_run, anew=anew, quiet=as_json)
    if as_json:
        told_as_json(report)
    else:
        for one in report.differences:
            typer.echo(one.words + ("" if one.key is not None else "  (a person has to look; nothing was changed)"))
        typer.echo(looked_at(report), err=True)
        typer.echo(_came_of_it(len(report.differences), len(report.for_people), dry_run=dry_run), err=True)
    if report.for_people or (dry_run and report.differences):
        raise typer.Exit(FOR_PEOPLE)


def _came_of_it(differences: int, for_people: int, *, dry_run: bool) -> str:
    if not differences:
        return "Nothing differs from Stripe."
    if dry_run:
        return f"{differences} would be looked at anew, or by a person."
    anew, people = differences - for_people, for_people
    return (
        f"{anew} {'is' if anew == 1 else 'are'} looked at anew; {people} {'needs' if people == 1 else 'need'} a person."
    )
