"""``newsstand report``: what is owed to readers in money, and the circulation statement."""

import asyncio
import csv
import sys
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, TypeVar

import typer

from app.cli.startup import command_settings, operator
from app.context import Context
from app.db.liability import MOVEMENT_FIGURES
from app.domain.liability import parse_month, report_day
from app.services import catalogue, circulation, liability
from app.settings import Settings

PAGE = 500  # subscriptions
T = TypeVar("T")
Month = Annotated[str | None, typer.Option(help="A month: 2026-03.")]

cli = typer.Typer(
    name="report",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Reports for the books.

\b
newsstand report liability --month 2026-03                  what is owed to readers
newsstand report liability --month 2026-03 --subscriptions  the same by subscription
newsstand report close --month 2026-03                      make a month's figures final
newsstand report circulation --from 2025-10-01 --to 2026-09-30""",
)


@cli.command("liability", short_help="Report the liability to readers.")
def report_liability(
    at: Annotated[str | None, typer.Option(metavar="DATE", help="The last day: 2026-03-15. Default: today.")] = None,
    month: Month = None,
    by_subscription: Annotated[
        bool, typer.Option("--subscriptions", help="Print a line for each subscription.")
    ] = False,
) -> None:
    """Print what is owed, from the first day of a month until a day, as CSV: a line for each currency.

    \b
    newsstand report liability --at 2026-03-15
    newsstand report liability --month 2026-03 --subscriptions > march.csv
    Amounts are in minor units (cents) and without tax. opening + sales - earned + earned_reversed - refunds = closing.
    """

    async def write(ctx: Context, now: datetime) -> None:
        through = report_day(
            at=_date(at, "--at") if at is not None else None, month=month, today=now.astimezone(ctx.rules.zone).date()
        )
        lines = csv.writer(sys.stdout, lineterminator="\n")
        lines.writerow([*(("subscription",) if by_subscription else ()), "currency", *MOVEMENT_FIGURES])
        if not by_subscription:
            for currency, found in (await liability.report(ctx, through)).movements.items():
                lines.writerow([currency, *(getattr(found, name) for name in MOVEMENT_FIGURES)])
            return
        after: str | None = ""
        while after is not None:
            page = await liability.subscriptions(ctx, through, after=after, limit=PAGE)
            for one in page.items:
                figures = (getattr(one.movement, name) for name in MOVEMENT_FIGURES)
                lines.writerow([one.subscription, one.currency, *figures])
            after = page.next

    _run(write)


@cli.command(short_help="Make a month's figures final.")
def close(month: Annotated[str, typer.Option(help="The month: 2026-03.")]) -> None:
    """Close a month that is over. What becomes known later appears in the next month.

    \b
    newsstand report close --month 2026-03
    Months are closed in order. Exit status: 1 if the month can't be closed.
    """
    made = _run(lambda ctx, now: liability.close(ctx, parse_month(month), by=operator(), now=now))
    for currency, totals in sorted(made.totals.items()):
        typer.echo(f"{month} is closed: {totals.owed} {currency} owed (minor units)")
    if not made.totals:
        typer.echo(f"{month} is closed: nothing owed")


@cli.command("circulation", short_help="The copies of each issue by kind.")
def report_circulation(
    since: Annotated[str, typer.Option("--from", metavar="DATE", help="The first day: 2025-10-01.")],
    until: Annotated[str, typer.Option("--to", metavar="DATE", help="The last day: 2026-09-30.")],
) -> None:
    """Print the circulation statement of the issues that were mailed in a period, as CSV.

    \b
    newsstand report circulation --from 2025-10-01 --to 2026-09-30
    The lines are those of PS Form 3526, with the average of all issues and the last issue. Percentages have two decimals.
    """
    first, last = _date(since, "--from"), _date(until, "--to")
    found = _run(lambda ctx, now: circulation.report(ctx, first, last, now=now))
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(["line", "title", "average", f"issue {found.nearest}" if found.nearest else "nearest"])
    for one in found.lines:
        figures = ["" if it is None else it for it in (one.average, one.nearest)]
        lines.writerow([one.line, one.title, *(_percentage(it) if one.is_percentage else it for it in figures)])
    for number in found.missing:
        todo = "freeze its labels" if number in found.not_frozen else "enter its press run"
        typer.echo(f"Issue {number} is left out: {todo}.", err=True)


def _percentage(hundredths: int | str) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02}" if isinstance(hundredths, int) else hundredths


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2026-03-15", param_hint=option) from None


def _run(work: Callable[[Context, datetime], Awaitable[T]]) -> T:
    with command_settings() as settings:
        return asyncio.run(_with_context(settings, work))


async def _with_context(settings: Settings, work: Callable[[Context, datetime], Awaitable[T]]) -> T:
    from app import main  # imported here to keep the other commands fast

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        return await work(ctx, await ctx.clock.policy())
