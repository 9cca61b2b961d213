"""``newsstand keys``: API keys for servers."""

import asyncio
from typing import Annotated

import typer

from app.cli.starting import WRONG, started
from app.db import address
from app.db.session import make_engine, make_sessions
from app.domain.errors import DomainError
from app.services import keys
from app.settings import Settings

cli = typer.Typer(
    name="keys", no_args_is_help=True, rich_markup_mode=None, help="API keys, with which other servers ask Newsstand."
)


@cli.callback()
def _group() -> None:
    """Keep `create` a command of its own, though it is the only one."""


@cli.command()
def create(
    scope: Annotated[list[str], typer.Option(help="What it may do: entitlements:read. May be given several times.")],
    name: Annotated[str, typer.Option(help="Whose it is, for people.")] = "unnamed",
) -> None:
    """Make a key and print it alone on standard output. It is shown this once: only its hash is kept.

    \b
    newsstand keys create --scope entitlements:read --name "the site"
    """
    with started() as settings:
        try:
            typer.echo(asyncio.run(_create(settings, name, scope)))
        except DomainError as refusal:
            typer.echo(str(refusal), err=True)
            raise typer.Exit(WRONG) from None


async def _create(settings: Settings, name: str, scopes: list[str]) -> str:
    engine = make_engine(await address.find(settings), pool_size=1)
    try:
        return await keys.create(make_sessions(engine), name=name, scopes=scopes)
    finally:
        await engine.dispose()
