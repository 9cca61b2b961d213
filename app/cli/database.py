"""``newsstand migrate``: migrate the database schema to this release."""

import asyncio
from typing import Annotated

import typer

from app.cli.startup import FAILED, command_settings
from app.db.engine import schema
from app.db.engine.dsn import find_dsn, service_role
from app.settings import Settings


def migrate(
    revision: Annotated[str, typer.Argument(help='A revision; "head" is the newest, "base" an empty schema.')] = "head",
) -> None:
    """Migrate the database schema to this release, as the role that owns it.

    \b
    Uses NEWSSTAND_MIGRATION_DATABASE_URL, else NEWSSTAND_DATABASE_URL, else the embedded server. If the first two name
    different roles, the role of the second is allowed to read and write rows, but not to change the schema or to rewrite
    the audit log.
    Concurrent runs take turns. Each step waits up to five seconds for a lock. If it times out, run the command again.
    Indexes are built without blocking writes, however long that takes. Invalid ones are rebuilt.
    """
    with command_settings() as settings:
        try:
            asyncio.run(_migrate(settings, revision))
        except schema.UnknownRole as unknown:
            typer.echo(f"The role {unknown} of NEWSSTAND_DATABASE_URL does not exist. Create it first.", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"The database schema is at {revision}.")


async def _migrate(settings: Settings, revision: str) -> None:
    dsn = await find_dsn(settings, owner=True)
    await schema.migrate(dsn, revision, role=service_role(settings))
