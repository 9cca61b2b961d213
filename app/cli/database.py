"""``newsstand migrate``: bring the database to the schema of this release."""

import asyncio
from typing import Annotated

import typer

from app.cli.startup import started
from app.db.engine import schema
from app.db.engine.dsn import find_dsn
from app.settings import Settings


def migrate(
    revision: Annotated[str, typer.Argument(help='A revision, "head" for the newest, "base" for none.')] = "head",
) -> None:
    """Bring the database's schema to this release, as the role that owns it.

    \b
    The address is NEWSSTAND_MIGRATION_DATABASE_URL, else NEWSSTAND_DATABASE_URL, else the embedded server.
    Two at once take turns. Each step waits at most five seconds for a lock; run it again if it could not get one.
    """
    with started() as settings:
        asyncio.run(_migrate(settings, revision))
    typer.echo(f"The database is at {revision}.")


async def _migrate(settings: Settings, revision: str) -> None:
    await schema.migrate(await find_dsn(settings, owner=True), revision)
