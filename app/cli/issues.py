"""``newsstand issues``: the calendar of issues, for circulation."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import typer

from app.cli.startup import WRONG, opened, started
from app.db.engine.session import Sessions
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
    help="""The calendar of issues: plan a year, import it, look at it.

\b
newsstand issues plan 2027 > 2027.csv       24 dates to begin with; move them in a spreadsheet
newsstand issues import 2027.csv --dry-run  what would it change?
newsstand issues import 2027.csv            change it
newsstand issues list""",
)


@cli.command(name="import", short_help="Put the issues of a file into the calendar.")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a line for each issue; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> None:
    """Put the issues of a file into the calendar: new ones, and changes of those that are there. All or none.

    \b
    The first line names the columns: number, title, cover_date, planned_mail_date, actual_mail_date, label_cutoff,
    counts_as (0 a special, 1, 2 a double issue). Dates are as 2027-01-31. What readers are owed follows by itself.
    Exit status: 0 it is done; 1 the file is wrong, and each wrong line was named.
    """
    try:
        lines = calendar_files.read(_bytes(file))
        kept = _ask(lambda sessions, zone: issues.load(sessions, zone, lines, by=BY, dry_run=dry_run))
    except BadCalendarFile as wrong:
        for problem in wrong.problems:
            typer.echo(f"{file}: {problem}", err=True)
        typer.echo("Nothing was imported.", err=True)
        raise typer.Exit(WRONG) from None
    would = "would be " if dry_run else ""
    for number in kept.new:
        typer.echo(f"issue {number}: {would}new")
    for number in kept.changed:
        typer.echo(f"issue {number}: {would}changed")
    typer.echo(f"{len(kept.new)} new, {len(kept.changed)} changed, {len(kept.unchanged)} as they were.")


@cli.command(name="list", short_help="Print the calendar.")
def list_() -> None:
    """Print the calendar, as a file that import takes."""
    calendar = _ask(issues.calendar)
    typer.echo(calendar_files.write(calendar.issues), nl=False)


@cli.command(short_help="Print a year's plan of 24 issues.")
def plan(
    year: Annotated[int, typer.Argument(min=2000, max=2200)],
    first_number: Annotated[
        int | None, typer.Option(min=1, help="The number of the year's first issue. Default: the next one.")
    ] = None,
) -> None:
    """Print a year's plan of 24 issues, two or three weeks apart, to be moved by hand: a file that import takes."""
    if first_number is None:
        calendar = _ask(issues.calendar)
        first_number = calendar.issues[-1].number + 1 if calendar.issues else 1
    typer.echo(calendar_files.write(calendar_files.plan_year(year, first_number=first_number)), nl=False)


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as wrong:
        raise BadCalendarFile(f"cannot be read: {wrong.strerror}") from None


def _ask(asking: Callable[[Sessions, ZoneInfo], Awaitable[T]]) -> T:
    with started() as settings:
        return asyncio.run(_run(settings, asking))


async def _run(settings: Settings, asking: Callable[[Sessions, ZoneInfo], Awaitable[T]]) -> T:
    async with opened(settings) as sessions:
        return await asking(sessions, settings.zone)
