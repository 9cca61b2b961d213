"""
``newsstand catalogue``: check the catalogue file and push it to Stripe.

Results go to standard output, errors to standard error.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from app import observability
from app.cli import configuration, price_migrations
from app.cli.startup import open_database
from app.context import make_rules
from app.db.engine.session import DATABASE_FAILURES, remedy
from app.domain.errors import DomainError, StripeUnavailable
from app.domain.offers import OfferChange
from app.domain.plans import BadCatalogue, Catalogue
from app.domain.prices import CatalogueStillDiffers, Change, LookupKeyTaken, NotTheConfirmedChanges, format_price
from app.gateway.client import Gateway
from app.services import catalogue as catalogues
from app.services import catalogue_push, derivations
from app.settings import Settings

FAILED, DIFFERENT, BAD_SETTINGS = 1, 2, 2
T = TypeVar("T")
Request = Callable[[Gateway, Catalogue], Coroutine[None, None, T]]

cli = typer.Typer(
    name="catalogue",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Plans and prices: check the catalogue file, compare it with Stripe, and push it to Stripe.

\b
The file is catalogue.toml, or the one named by NEWSSTAND_CATALOGUE. After you change it:
    newsstand catalogue check     validate the file
    newsstand catalogue diff      show what would change
    newsstand catalogue push      show it, ask, and apply it at Stripe
    newsstand catalogue migrate   move current subscribers to a new price

A price at Stripe never changes: a new amount becomes a new version, and current subscribers keep paying the old
one until you migrate them.""",
)
cli.command(short_help="Move current subscribers to a new price.")(price_migrations.migrate)
cli.command(short_help="Show the progress of price migrations.")(price_migrations.migrations)
cli.command(short_help="Stop a price migration.")(price_migrations.stop_migration)
File = Annotated[Path | None, typer.Option("--file", help="The catalogue file. Default: NEWSSTAND_CATALOGUE.")]


@cli.command(short_help="Validate the catalogue file.")
def check(file: File = None) -> None:
    """Validate the catalogue file and print its plans, or every error in it. Does not call Stripe.

    \b
    newsstand catalogue check --file next-year.toml
    Exit status: 0 if the file is valid; 1 if it is not.
    """
    _, catalogue = _load(file)
    for plan in catalogue.plans.values():
        typer.echo(f"{plan.code}: {plan.title}, {plan.issues} issues, billed every {plan.interval}")
        for price in plan.prices.values():
            typer.echo(
                f"  {price.title}: {format_price(price.price.amount, price.price.currency)} ({price.lookup_key})"
            )
        typer.echo(f"  {len(plan.features)} features: {', '.join(plan.features)}")
    typer.echo("The catalogue is valid.")


@cli.command(short_help="Show what a push would change.")
def diff(file: File = None) -> None:
    """Show what a push would change at Stripe, and what the new file changes for subscribers. Changes nothing.

    \b
    newsstand catalogue diff || echo "push needed"
    Exit status: 0 if Stripe matches the catalogue; 1 on an error; 2 if they differ.
    """
    loaded, catalogue = _load(file)
    changes = _run(loaded, catalogue, catalogue_push.differences)
    _show(changes, _offer_changes(loaded, catalogue))
    if changes:
        raise typer.Exit(DIFFERENT)
    typer.echo("Stripe matches the catalogue.")


@cli.command(short_help="Create and update products and prices at Stripe.")
def push(
    file: File = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Create and update Stripe's products and prices to match the catalogue.

    Shows what changes, as diff does, and asks for confirmation. Scripts need --yes. You can stop it at any time and run it
    again. A second run changes nothing.

    \b
    NEWSSTAND_STRIPE_URL=https://api.stripe.com NEWSSTAND_STRIPE_API_KEY=sk_test_... newsstand catalogue push
    newsstand catalogue push --yes
    Exit status: 0 if Stripe matches the catalogue; 1 on an error; 2 if they differ, because you didn't confirm.
    """
    loaded, catalogue = _load(file)
    changes = _run(loaded, catalogue, catalogue_push.differences)
    _show(changes, _offer_changes(loaded, catalogue))
    if changes and not yes:
        _confirm(loaded, changes)
    done: list[Change] = []

    async def count_each(gateway: Gateway, catalogue: Catalogue) -> None:
        async for change in catalogue_push.push(gateway, catalogue, confirmed=None if yes else changes):
            done.append(change)

    try:
        _run(loaded, catalogue, count_each)
    except typer.Exit:
        typer.echo(f"{_counted(done)} made before the error. Push again; nothing is done twice.", err=True)
        raise
    typer.echo(f"{_counted(done)} made." if done else "Nothing to do: Stripe matches the catalogue.")


def _show(changes: Sequence[Change], offered: Sequence[OfferChange]) -> None:
    """Print what a push changes, and what the catalogue file changes once the service runs with it."""
    for change in changes:
        typer.echo(change)
    if offered:
        typer.echo("For current subscribers, when the service is restarted with this file:")
    for one in offered:
        typer.echo(f"  {one}")


def _confirm(loaded: Settings, changes: Sequence[Change]) -> None:
    """Ask whether to make the changes. Exit if the answer is no, or if nobody can be asked."""
    if not sys.stdin.isatty():
        typer.echo("Nothing was changed: add --yes to confirm, because the input is not a terminal.", err=True)
        raise typer.Exit(DIFFERENT)
    what = "this change" if len(changes) == 1 else f"these {len(changes)} changes"
    where = f"{'live' if loaded.livemode else 'test'} mode at {loaded.stripe_url}"
    try:
        agreed = typer.confirm(f"Make {what} in {where}?")
    except typer.Abort:  # Ctrl-C, or the end of the input
        agreed = False
    if not agreed:
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(DIFFERENT)


def _offer_changes(loaded: Settings, catalogue: Catalogue) -> Sequence[OfferChange]:
    """Return what the catalogue changes for subscribers. Nobody subscribed yet if there is no database."""
    if loaded.database_url is None and not (loaded.data_dir / "postgres").exists():
        return []

    async def compare() -> Sequence[OfferChange]:
        async with open_database(loaded) as ctx:
            return await derivations.offer_changes(ctx, make_rules(loaded, catalogue))

    try:
        return asyncio.run(compare())
    except DATABASE_FAILURES as failure:
        typer.echo(f"What changes for subscribers is unknown. {remedy(failure) or failure}", err=True)
        return []


def _counted(done: list[Change]) -> str:
    return "1 change was" if len(done) == 1 else f"{len(done) or 'No'} changes were"


def _load(file: Path | None) -> tuple[Settings, Catalogue]:
    try:
        loaded = configuration.load()
    except configuration.BadSettings as bad:
        typer.echo(bad, err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    try:
        return loaded, catalogues.load(file or loaded.catalogue)
    except BadCatalogue as bad:
        for problem in bad.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(FAILED) from None


def _run(loaded: Settings, catalogue: Catalogue, request: Request[T]) -> T:
    """Run a request against Stripe with its own client. Print an error and exit if it fails."""
    observability.configure("ERROR")

    async def call() -> T:
        gateway = Gateway(
            url=loaded.stripe_url, api_key=loaded.stripe_api_key.get_secret_value(), timeout=loaded.stripe_timeout
        )
        try:
            return await request(gateway, catalogue)
        finally:
            await gateway.close()

    try:
        return asyncio.run(call())
    except StripeUnavailable as unavailable:
        typer.echo(f"Could not reach Stripe at {loaded.stripe_url}: {unavailable}", err=True)
    except (LookupKeyTaken, CatalogueStillDiffers, NotTheConfirmedChanges) as wrong:
        typer.echo(wrong, err=True)
    except DomainError as refused:
        typer.echo(f"Stripe declined the request: {refused}", err=True)
    raise typer.Exit(FAILED)
