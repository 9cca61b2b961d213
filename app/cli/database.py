"""``newsstand migrate``: migrate the database schema to this release."""

import asyncio
from typing import Annotated

import typer

from app.cli.startup import command_settings
from app.db.engine import schema
from app.db.engine.dsn import find_dsn
from app.settings import Settings


def migrate(
    revision: Annotated[str, typer.Argument(help='A revision; "head" is the newest, "base" an empty schema.')] = "head",
) -> None:
    """Migrate the database schema to this release, as the role that owns it.

    \b
    Uses NEWSSTAND_MIGRATION_DATABASE_URL, else NEWSSTAND_DATABASE_URL, else the embedded server.
    Concurrent runs take turns. Each step waits up to five seconds for a lock. If it times out, run the command again.
    Indexes are built without blocking writes, however long that takes. Invalid ones are rebuilt.
    """
    with command_settings() as settings:
        asyncio.run(_migrate(settings, revision))
    typer.echo(f"The database schema is at {revision}.")


async def _migrate(settings: Settings, revision: str) -> None:
    await schema.migrate(await find_dsn(settings, owner=True), revision)
