"""
``newsstand catalogue``: check the catalogue file and push it to Stripe.

Results go to standard output, errors to standard error.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from app import observability
from app.cli import configuration
from app.domain.errors import DomainError, StripeUnavailable
from app.domain.plans import BadCatalogue, Catalogue
from app.domain.prices import CatalogueStillDiffers, Change, LookupKeyTaken, format_price
from app.gateway.client import Gateway
from app.services import catalogue as catalogues
from app.services import catalogue_push
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
    newsstand catalogue diff      show what would change at Stripe
    newsstand catalogue push      apply the changes

A price at Stripe never changes: a new amount becomes a new version, and current subscribers keep paying the old
one.""",
)
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


@cli.command(short_help="Show what a push would change at Stripe.")
def diff(file: File = None) -> None:
    """Show what a push would change, and change nothing.

    \b
    newsstand catalogue diff || echo "push needed"
    Exit status: 0 if Stripe matches the catalogue; 1 on an error; 2 if they differ.
    """
    loaded, catalogue = _load(file)
    changes = _run(loaded, catalogue, catalogue_push.differences)
    for change in changes:
        typer.echo(change)
    if changes:
        raise typer.Exit(DIFFERENT)
    typer.echo("Stripe matches the catalogue.")


@cli.command(short_help="Create and update products and prices at Stripe.")
def push(file: File = None) -> None:
    """Create and update Stripe's products and prices to match the catalogue, printing each change when it is done.

    You can stop it at any time and run it again. A second run changes nothing.

    \b
    NEWSSTAND_STRIPE_URL=https://api.stripe.com NEWSSTAND_STRIPE_API_KEY=sk_test_... newsstand catalogue push
    Exit status: 0 if Stripe matches the catalogue; 1 on an error.
    """
    loaded, catalogue = _load(file)
    done: list[Change] = []

    async def print_each(gateway: Gateway, catalogue: Catalogue) -> None:
        async for change in catalogue_push.push(gateway, catalogue):
            typer.echo(change)
            done.append(change)

    try:
        _run(loaded, catalogue, print_each)
    except typer.Exit:
        typer.echo(f"{_counted(done)} made before the error. Push again; nothing is done twice.", err=True)
        raise
    typer.echo(f"{_counted(done)} made." if done else "Nothing to do: Stripe matches the catalogue.")


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
    except (LookupKeyTaken, CatalogueStillDiffers) as wrong:
        typer.echo(wrong, err=True)
    except DomainError as refused:
        typer.echo(f"Stripe declined the request: {refused}", err=True)
    raise typer.Exit(FAILED)
