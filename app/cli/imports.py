"""``newsstand import``: import the subscribers of an existing Stripe account."""

import asyncio
import csv
from pathlib import Path
from typing import Annotated

import typer

from app.cli.startup import command_settings, open_database, operator
from app.cli.sweeps import NEEDS_REVIEW, print_json, run_sweep, summary
from app.db.subscribers import Subscriber
from app.domain.reconciliation import SweepKind
from app.services import imports
from app.services.reconciliation import Importing
from app.settings import Settings

cli = typer.Typer(
    name="import",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Import the subscribers of a Stripe account that you used before Newsstand.

\b
    newsstand import stripe --subs subs.csv --dry-run     show the result without importing
    newsstand import stripe --subs subs.csv               import
    newsstand import claim cus_123 user-1                 assign a customer to a reader

A subscription is imported if its prices belong to the catalogue: the prices that `catalogue push` created, or older
prices with the metadata newsstand_plan and newsstand_component.""",
)


@cli.command(short_help="Import customers, subscriptions, payments and refunds.")
def stripe(
    subs: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A CSV file that maps customers to readers (columns: customer, sub)."
        ),
    ] = None,
    sub_metadata: Annotated[str, typer.Option(help="The customer metadata key that holds the sub.")] = "newsstand_sub",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result without importing.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over instead of continuing an interrupted run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report, and no progress bar.")] = False,
) -> None:
    """Create a subscriber for each Stripe customer who has a subscription of the catalogue.

    The file, or else the customer's metadata, names the reader of a customer. If neither does, the subscriber gets a
    placeholder: the reader who signs in with the same verified email address claims it, if exactly one matches, or you
    assign it with `newsstand import claim`. Run the command again with a more complete file to assign the rest.

    You can stop it at any time and run it again. A line of the file never removes access.

    An import never cancels or refunds anything. --dry-run lists each unusual customer with what support
    will see after the import: several running subscriptions, a refunded term, a dispute, a payment after the end.

    \b
    newsstand import stripe --subs subs.csv
    Exit status: 0 if everything was imported; 1 on an error (run it again to continue); 2 if some need review.
    """
    known = Importing(subs=read_subs(subs) if subs is not None else {}, metadata_key=sub_metadata)
    report = run_sweep(
        kind=SweepKind.IMPORT, since=None, dry_run=dry_run, restart=restart, importing=known, quiet=as_json
    )
    if as_json:
        print_json(report)
    else:
        for one in report.for_review:
            typer.echo(one.words)
        for one in report.unusual:
            typer.echo(f"{one.words} [{one.code}]")
        if (unlisted := report.counts.for_review - len(report.for_review)) > 0:
            typer.echo(f"... and {unlisted:,} more need review", err=True)
        if (unlisted := report.counts.unusual - len(report.unusual)) > 0:
            typer.echo(f"... and {unlisted:,} more are unusual", err=True)
        typer.echo(summary(report), err=True)
        made, would = report.sweep.counts.get("subscribers", 0), "would be " if dry_run else ""
        review = f"{report.counts.for_review} need review"
        typer.echo(f"{made} {would}imported or assigned to their reader; {review}.", err=True)
    if report.for_review:
        raise typer.Exit(NEEDS_REVIEW)


def read_subs(path: Path) -> dict[str, str]:
    """
    Return the file's mapping of customer to sub.

    :raises BadParameter: the file is not a CSV file in UTF-8 with these columns.
    """
    try:
        return _subs_of(path)
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise typer.BadParameter(f"{path} is not a CSV file in UTF-8: {wrong}", param_hint="--subs") from None


def _subs_of(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"customer", "sub"} <= set(rows.fieldnames or ()):
            raise typer.BadParameter(f"{path} must have the columns customer and sub", param_hint="--subs")
        found: dict[str, str] = {}
        for row in rows:
            customer, sub = (row["customer"] or "").strip(), (row["sub"] or "").strip()
            if not customer or not sub:
                continue
            if found.get(customer, sub) != sub:
                raise typer.BadParameter(f"line {rows.line_num}: {customer} has two subs", param_hint="--subs")
            found[customer] = sub
    return found


@cli.command(short_help="Assign an imported customer to a reader.")
def claim(
    customer: Annotated[str, typer.Argument(help="cus_...")],
    sub: Annotated[str, typer.Argument(help="The reader's sub at the identity provider.")],
) -> None:
    """Assign an imported customer, with subscriptions and payments, to a reader.

    \b
    newsstand import claim cus_123 user-1
    """
    with command_settings() as settings:
        subscriber = asyncio.run(_claim(settings, customer, sub))
    typer.echo(f"{customer} is assigned to {subscriber.sub}.")


async def _claim(settings: Settings, customer: str, sub: str) -> Subscriber:
    async with open_database(settings) as ctx:
        return await imports.claim(ctx, customer, sub=sub, by=operator())
