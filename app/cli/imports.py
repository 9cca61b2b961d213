"""``newsstand import``: the subscribers of a Stripe account that was there before Newsstand."""

import asyncio
import csv
from pathlib import Path
from typing import Annotated

import typer

from app.cli.startup import opened, operator, started
from app.cli.sweeping import FOR_PEOPLE, looked_at, swept, told_as_json
from app.db.subscribers import Subscriber
from app.domain.reconciliation import IMPORT
from app.services import imports
from app.services.reconciliation import Importing
from app.settings import Settings

cli = typer.Typer(
    name="import",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Take in the subscribers of a Stripe account that was there before Newsstand.

\b
    newsstand import stripe --subs subs.csv --dry-run     what would come of it?
    newsstand import stripe --subs subs.csv               take them in
    newsstand import claim cus_123 user-1                 that customer is that reader

Subscriptions count whose prices are of the catalogue: by its own products, or by the metadata newsstand_plan and
newsstand_component of a price that was there before.""",
)


@cli.command(short_help="Take in customers, subscriptions, payments and refunds.")
def stripe(
    subs: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A CSV file with the columns customer and sub: who is who."),
    ] = None,
    sub_metadata: Annotated[str, typer.Option(help="The customer's metadata that holds the sub.")] = "newsstand_sub",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Begin at the beginning, though a run was cut short.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A report for programs, and no bar.")] = False,
) -> None:
    """Go through Stripe's lists, and make a subscriber of each customer who has a subscription of the catalogue.

    Who a customer is, the file says, else the customer's metadata. Where neither does, the subscriber waits under a
    placeholder: it is claimed by the reader who signs in with that address, verified by the identity provider, if one
    alone can be meant; or by hand: newsstand import claim. Run again with a better file, it gives the rest their readers.

    It can be stopped at any point and run again. What a line of the file says never takes anything from anybody.

    \b
    newsstand import stripe --subs subs.csv
    Exit status: 0 all is taken in; 1 it could not be, and can be gone on with; 2 a person has to look at some.
    """
    known = Importing(subs=_read(subs) if subs is not None else {}, metadata_key=sub_metadata)
    report = swept(kind=IMPORT, since=None, dry_run=dry_run, anew=anew, importing=known, quiet=as_json)
    if as_json:
        told_as_json(report)
    else:
        for one in report.for_people:
            typer.echo(one.words)
        typer.echo(looked_at(report), err=True)
        made, would = report.sweep.counts.get("subscribers", 0), "would be " if dry_run else ""
        seen = f"{len(report.for_people)} for a person to see"
        typer.echo(f"{made} {would}taken in or given to their reader; {seen}.", err=True)
    if report.for_people:
        raise typer.Exit(FOR_PEOPLE)


def _read(path: Path) -> dict[str, str]:
    """Return the file's customers, each with who it is."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"customer", "sub"} <= set(rows.fieldnames or ()):
            raise typer.BadParameter(f"{path} has no columns customer and sub", param_hint="--subs")
        found: dict[str, str] = {}
        for row in rows:
            customer, sub = (row["customer"] or "").strip(), (row["sub"] or "").strip()
            if not customer or not sub:
                continue
            if found.get(customer, sub) != sub:
                raise typer.BadParameter(f"line {rows.line_num}: {customer} has two subs", param_hint="--subs")
            found[customer] = sub
    return found


@cli.command(short_help="Give an imported customer to a reader.")
def claim(
    customer: Annotated[str, typer.Argument(help="cus_...")],
    sub: Annotated[str, typer.Argument(help="The reader's sub at the identity provider.")],
) -> None:
    """Give an imported customer, with all that they have, to the reader who it is, as support found out.

    \b
    newsstand import claim cus_123 user-1
    """
    with started() as settings:
        given = asyncio.run(_claim(settings, customer, sub))
    typer.echo(f"{customer} is {given.sub}.")


async def _claim(settings: Settings, customer: str, sub: str) -> Subscriber:
    async with opened(settings) as sessions:
        return await imports.claim(sessions, customer, sub=sub, by=operator())
