"""``newsstand issues``: plan, import and list the issue calendar."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from app.cli.startup import FAILED, command_settings, open_database
from app.clock import SystemClock
from app.context import DatabaseContext
from app.domain import calendar_files
from app.domain.calendar_files import BadCalendarFile
from app.services import issues
from app.settings import Settings

BY = "operator"
T = TypeVar("T")

cli = typer.Typer(
    name="issues",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The issue calendar: plan a year, import it, list it.

\b
newsstand issues plan 2027 > 2027.csv       create a plan of 24 issues to edit in a spreadsheet
newsstand issues import 2027.csv --dry-run  show what would change
newsstand issues import 2027.csv            apply the changes
newsstand issues list                       print the calendar""",
)


@cli.command(name="import", short_help="Import issues from a CSV file.")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file with a line for each issue; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Add the issues of a CSV file to the calendar, and update the ones that exist. All or nothing.

    \b
    The first line names the columns: number, title, cover_date, planned_mail_date, actual_mail_date, label_cutoff,
    counts_as (0 for a special issue, 1, or 2 for a double issue). Dates look like 2027-01-31. What readers are owed
    is recalculated.
    Exit status: 0 on success; 1 if the file has errors, which are printed with their lines.
    """
    try:
        lines = calendar_files.read(_bytes(file))
        kept = _with_database(lambda ctx: issues.load(ctx, lines, by=BY, now=SystemClock().real(), dry_run=dry_run))
    except BadCalendarFile as wrong:
        for problem in wrong.problems:
            typer.echo(f"{file}: {problem}", err=True)
        typer.echo("Nothing was imported.", err=True)
        raise typer.Exit(FAILED) from None
    would = "would be " if dry_run else ""
    for number in kept.new:
        typer.echo(f"issue {number}: {would}new")
    for number in kept.changed:
        typer.echo(f"issue {number}: {would}changed")
    typer.echo(f"{len(kept.new)} new, {len(kept.changed)} changed, {len(kept.unchanged)} unchanged.")


@cli.command(name="list", short_help="Print the calendar.")
def list_() -> None:
    """Print the calendar as a CSV file for `newsstand issues import`."""
    calendar = _with_database(issues.calendar)
    typer.echo(calendar_files.write(calendar.issues), nl=False)


@cli.command(short_help="Print a year's plan of 24 issues.")
def plan(
    year: Annotated[int, typer.Argument(min=2000, max=2200)],
    first_number: Annotated[
        int | None, typer.Option(min=1, help="The number of the year's first issue. Default: the next one.")
    ] = None,
) -> None:
    """Print a CSV plan of 24 issues for a year, two or three weeks apart, to edit and import."""
    if first_number is None:
        calendar = _with_database(issues.calendar)
        first_number = calendar.issues[-1].number + 1 if calendar.issues else 1
    typer.echo(calendar_files.write(calendar_files.plan_year(year, first_number=first_number)), nl=False)


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise BadCalendarFile(f"cannot be read: {wrong.strerror}") from None


def _with_database(request: Callable[[DatabaseContext], Awaitable[T]]) -> T:
    with command_settings() as settings:
        return asyncio.run(_run(settings, request))


async def _run(settings: Settings, request: Callable[[DatabaseContext], Awaitable[T]]) -> T:
    async with open_database(settings) as ctx:
        return await request(ctx)
