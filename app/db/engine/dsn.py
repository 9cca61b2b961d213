"""Find the DSN of the database: from the settings, or of the embedded server."""

import asyncio

from app.db.engine import embedded, schema
from app.settings import Settings

DATABASE = "newsstand"  # its name on the embedded server


async def find_dsn(settings: Settings, *, owner: bool = False) -> str:
    """
    Return the DSN of the database. If none is set, start the embedded server and create its database.

    :param owner: whether to connect as the owner of the schema, if that is a role of its own.
    """
    if owner and settings.migration_database_url is not None:
        return settings.migration_database_url.get_secret_value()
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    maintenance = await asyncio.to_thread(embedded.ensure, settings.data_dir)
    return await schema.create_database(maintenance, DATABASE)


def listen_dsn(settings: Settings, dsn: str) -> str:
    """Return the DSN for LISTEN, which bypasses a pooler."""
    direct = settings.listen_database_url
    return direct.get_secret_value() if direct is not None else dsn
