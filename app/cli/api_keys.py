"""``newsstand keys``: API keys for servers, and the keys that sign entitlement tokens."""

import asyncio
from typing import Annotated

import typer

from app.cli.startup import opened, started
from app.clock import SystemClock
from app.encryption import signing_key_cipher
from app.services import api_keys, signing_keys
from app.settings import Settings

cli = typer.Typer(
    name="keys",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="API keys, with which other servers ask Newsstand, and the keys that sign entitlement tokens.",
)


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
        typer.echo(asyncio.run(_create(settings, name, scope)))


@cli.command("list")
def list_keys() -> None:
    """List the API keys by id, and the keys that sign tokens, with what they do now."""
    with started() as settings:
        listed = asyncio.run(_list(settings))
    for line in listed:
        typer.echo(line)
    if not listed:
        typer.echo("There are none.", err=True)


@cli.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id that `newsstand keys list` tells.")]) -> None:
    """Make an API key worthless: every process refuses it within a second."""
    with started() as settings:
        asyncio.run(_revoke(settings, key_id))


@cli.command()
def rotate(
    compromised: Annotated[
        bool, typer.Option("--compromised", help="The old keys' secrets may be known: they count no more.")
    ] = False,
) -> None:
    """Make a new key to sign entitlement tokens with. It is published at once, and signs once everybody has seen it.

    \b
    newsstand keys rotate                  once in a while: tokens of the old key are good until they die
    newsstand keys rotate --compromised    tokens of the old keys are refused as soon as the keys are asked for anew
    """
    with started() as settings:
        typer.echo(asyncio.run(_rotate(settings, compromised=compromised)))


async def _create(settings: Settings, name: str, scopes: list[str]) -> str:
    async with opened(settings) as sessions:
        return await api_keys.create(sessions, name=name, scopes=scopes)


async def _list(settings: Settings) -> list[str]:
    now = SystemClock().real()
    async with opened(settings) as sessions:
        lines = []
        for key in await api_keys.every(sessions):
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid"
            lines.append(f"{key.id}  {state}  {key.created_at:%Y-%m-%d}  {' '.join(key.scopes)}  {key.name}")
        for signing in await signing_keys.every(sessions):
            if signing.is_published(now):
                does = "signs" if signing.signs(now) else "will sign" if now < signing.signs_from else "only verifies"
                lines.append(f"{signing.id}  {does}  from {signing.signs_from:%Y-%m-%d %H:%M} UTC  entitlement tokens")
    return lines


async def _revoke(settings: Settings, key_id: str) -> None:
    async with opened(settings) as sessions:
        await api_keys.revoke(sessions, key_id)


async def _rotate(settings: Settings, *, compromised: bool) -> str:
    cipher = signing_key_cipher(settings.token_secrets, settings.data_dir)
    async with opened(settings) as sessions:
        made = await signing_keys.rotate(sessions, cipher, now=SystemClock().real(), compromised=compromised)
    return f"{made.id} signs from {made.signs_from:%Y-%m-%d %H:%M} UTC"
