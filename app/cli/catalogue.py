"""
``newsstand catalogue``: look at the offer, and make it Stripe's.

What a command found out goes to standard output, what went wrong to standard error.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from app import observability, settings
from app.domain.errors import DomainError, StripeUnavailable
from app.domain.plans import BadCatalogue, Catalogue
from app.domain.prices import CatalogueUnsettled, Change, LookupKeyTaken, price_said
from app.gateway.client import Gateway
from app.services import catalogue as catalogues
from app.services import prices

WRONG, DIFFERENT, BAD_SETTINGS = 1, 2, 2
T = TypeVar("T")
Asking = Callable[[Gateway, Catalogue], Coroutine[None, None, T]]

cli = typer.Typer(
    name="catalogue",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The offer: check the catalogue file, compare it with Stripe, and push it there.

\b
The file is catalogue.toml, or what NEWSSTAND_CATALOGUE names. After a change of it:
    newsstand catalogue check     is it right?
    newsstand catalogue diff      what would change at Stripe?
    newsstand catalogue push      change it

A price at Stripe never changes: a new amount becomes a new version, and whoever subscribed before keeps paying the old
one.""",
)
File = Annotated[Path | None, typer.Option("--file", help="The catalogue, instead of NEWSSTAND_CATALOGUE.")]


@cli.command(short_help="Is the catalogue file right?")
def check(file: File = None) -> None:
    """Read the catalogue and say what is wrong with it, or what it offers. Stripe is not asked.

    \b
    newsstand catalogue check --file next-year.toml
    Exit status: 0 it is right; 1 it is not.
    """
    _, catalogue = _load(file)
    for plan in catalogue.plans.values():
        typer.echo(f"{plan.code}: {plan.title}, {plan.issues} issues, billed each {plan.interval}")
        for price in plan.prices.values():
            typer.echo(f"  {price.title}: {price_said(price.price.amount, price.price.currency)} ({price.lookup_key})")
        typer.echo(f"  {len(plan.features)} features: {', '.join(plan.features)}")
    typer.echo("The catalogue is right.")


@cli.command(short_help="What would a push change at Stripe?")
def diff(file: File = None) -> None:
    """Say what a push would do, and do nothing.

    \b
    newsstand catalogue diff || echo "to be pushed"
    Exit status: 0 Stripe has what the catalogue says; 1 it could not be found out; 2 they differ.
    """
    loaded, catalogue = _load(file)
    changes = _ask(loaded, catalogue, prices.differences)
    for change in changes:
        typer.echo(change)
    if changes:
        raise typer.Exit(DIFFERENT)
    typer.echo("Stripe has what the catalogue says.")


@cli.command(short_help="Make Stripe's products and prices those of the catalogue.")
def push(file: File = None) -> None:
    """Make Stripe's products and prices those of the catalogue, and say each change when it is done.

    It can be stopped at any point and run again. Run twice, it changes nothing the second time.

    \b
    NEWSSTAND_STRIPE_URL=https://api.stripe.com NEWSSTAND_STRIPE_API_KEY=sk_test_... newsstand catalogue push
    Exit status: 0 Stripe has what the catalogue says; 1 it has not, or it is not known.
    """
    loaded, catalogue = _load(file)
    done: list[Change] = []

    async def say_each(gateway: Gateway, catalogue: Catalogue) -> None:
        async for change in prices.push(gateway, catalogue):
            typer.echo(change)
            done.append(change)

    try:
        _ask(loaded, catalogue, say_each)
    except typer.Exit:
        typer.echo(f"{_counted(done)} made for certain. Push again: nothing is done twice.", err=True)
        raise
    typer.echo(f"{_counted(done)} made." if done else "Nothing to do: Stripe has what the catalogue says.")


def _counted(done: list[Change]) -> str:
    return "1 change was" if len(done) == 1 else f"{len(done) or 'No'} changes were"


def _load(file: Path | None) -> tuple[settings.Settings, Catalogue]:
    try:
        loaded = settings.load()
    except settings.BadSettings as bad:
        typer.echo(bad, err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    try:
        return loaded, catalogues.load(file or loaded.catalogue)
    except BadCatalogue as bad:
        for problem in bad.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(WRONG) from None


def _ask(loaded: settings.Settings, catalogue: Catalogue, asking: Asking[T]) -> T:
    """Ask or tell Stripe something over a line of our own; say what went wrong, and leave."""
    observability.configure("ERROR")

    async def ask() -> T:
        gateway = Gateway(
            url=loaded.stripe_url, api_key=loaded.stripe_api_key.get_secret_value(), timeout=loaded.stripe_timeout
        )
        try:
            return await asking(gateway, catalogue)
        finally:
            await gateway.close()

    try:
        return asyncio.run(ask())
    except StripeUnavailable as unavailable:
        typer.echo(f"Stripe at {loaded.stripe_url} could not be asked: {unavailable}", err=True)
    except (LookupKeyTaken, CatalogueUnsettled) as wrong:
        typer.echo(wrong, err=True)
    except DomainError as refused:
        typer.echo(f"Stripe refused: {refused}", err=True)
    raise typer.Exit(WRONG)
