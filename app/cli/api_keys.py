"""``newsstand keys``: API keys for servers, and the keys that sign entitlement tokens."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.cli.startup import command_settings, open_database, operator
from app.cli.times import parse_duration
from app.clock import SystemClock
from app.domain.api_keys import ApiKey
from app.encryption import signing_key_cipher
from app.services import api_keys, signing_keys
from app.settings import Settings

cli = typer.Typer(
    name="keys",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="API keys of other servers, and the keys that sign entitlement tokens.",
)


@cli.command()
def create(
    scope: Annotated[list[str], typer.Option(help="A scope of the key, such as entitlements:read. Can be repeated.")],
    name: Annotated[str, typer.Option(help="A name that tells people who uses the key.")] = "unnamed",
    expires_in: Annotated[str, typer.Option(help="How long the key is valid, such as 90d; or never.")] = "365d",
) -> None:
    """Create an API key and print it on standard output. It is shown only once: the database stores its hash.

    \b
    newsstand keys create --scope entitlements:read --name "the site"
    """
    life = parse_duration(expires_in, option="--expires-in")
    with command_settings() as settings:
        typer.echo(asyncio.run(_create(settings, name, scope, life)))


@cli.command("list")
def list_keys() -> None:
    """List API keys, and the keys that sign tokens with their current state."""
    with command_settings() as settings:
        listed = asyncio.run(_list(settings))
    for line in listed:
        typer.echo(line)
    if not listed:
        typer.echo("No keys.", err=True)


@cli.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's ID, as shown by `newsstand keys list`.")]) -> None:
    """Revoke an API key. Every process refuses it within a second."""
    with command_settings() as settings:
        asyncio.run(_revoke(settings, key_id))


@cli.command()
def rotate(
    key_id: Annotated[
        str | None,
        typer.Argument(help="An API key's ID. Without one, the key that signs entitlement tokens is rotated."),
    ] = None,
    overlap: Annotated[str, typer.Option(help="How long the old API key stays valid, such as 24h.")] = "7d",
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Reject tokens of the old keys, whose private keys may have leaked.")
    ] = False,
) -> None:
    """Replace an API key and print the new one, or create a new key to sign entitlement tokens.

    A new signing key signs once verifiers have had time to fetch it.

    \b
    newsstand keys rotate key_1a2b --overlap 24h   a new API key with the same scopes; the old one expires in a day
    newsstand keys rotate                  routine rotation: tokens of the old key stay valid until they expire
    newsstand keys rotate --compromised    verifiers reject tokens of the old keys at their next fetch
    """
    if key_id is not None and compromised:
        raise typer.BadParameter("not for API keys. Revoke a compromised API key", param_hint="--compromised")
    old_valid_for = parse_duration(overlap, option="--overlap")
    if old_valid_for is None:
        raise typer.BadParameter("the old key must expire", param_hint="--overlap")
    with command_settings() as settings:
        if key_id is not None:
            typer.echo(asyncio.run(_replace(settings, key_id, old_valid_for)))
            return
        typer.echo(asyncio.run(_rotate(settings, compromised=compromised)))


async def _create(settings: Settings, name: str, scopes: list[str], life: timedelta | None) -> str:
    async with open_database(settings) as ctx:
        made = await api_keys.create(ctx, name, scopes, by=operator(), now=SystemClock().real(), life=life)
    return made.key


async def _list(settings: Settings) -> list[str]:
    now = SystemClock().real()
    async with open_database(settings) as ctx:
        lines = []
        for key in await api_keys.list_all(ctx):
            lines.append(_line(key, now))
        for signing in await signing_keys.list_all(ctx):
            if signing.is_published(now):
                state = "signs" if signing.signs(now) else "will sign" if now < signing.signs_from else "verifies only"
                lines.append(f"{signing.id}  {state}  from {signing.signs_from:%Y-%m-%d %H:%M} UTC  entitlement tokens")
    return lines


def _line(key: ApiKey, now: datetime) -> str:
    state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else key.state(now=now)
    expires = f"expires {key.expires_at:%Y-%m-%d}" if key.expires_at else "never expires"
    used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "not used"
    scopes = " ".join(key.scopes)
    return f"{key.id}  {state}  {key.created_at:%Y-%m-%d}  {expires}  {used}  {scopes}  {key.name}"


async def _revoke(settings: Settings, key_id: str) -> None:
    async with open_database(settings) as ctx:
        await api_keys.revoke(ctx, key_id, by=operator())


async def _replace(settings: Settings, key_id: str, overlap: timedelta) -> str:
    async with open_database(settings) as ctx:
        made = await api_keys.rotate(ctx, key_id, by=operator(), now=SystemClock().real(), overlap=overlap)
    return made.key


async def _rotate(settings: Settings, *, compromised: bool) -> str:
    cipher = signing_key_cipher(settings.token_secrets, settings.data_dir)
    async with open_database(settings) as ctx:
        made = await signing_keys.rotate(ctx, cipher, now=SystemClock().real(), compromised=compromised)
    return f"{made.id} signs from {made.signs_from:%Y-%m-%d %H:%M} UTC"
