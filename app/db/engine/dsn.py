"""Where the database is: what the settings name, or the embedded server, started for us."""

import asyncio

from app.db.engine import embedded, schema
from app.settings import Settings

DATABASE = "newsstand"  # its name on the embedded server


async def find_dsn(settings: Settings, *, owner: bool = False) -> str:
    """
    Return the address of the database; the embedded server is started, and its database made, if none is set.

    :param owner: as the role that owns the schema, if that is another than the one that serves.
    """
    if owner and settings.migration_database_url is not None:
        return settings.migration_database_url.get_secret_value()
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    maintenance = await asyncio.to_thread(embedded.ensure, settings.data_dir)
    return await schema.create_database(maintenance, DATABASE)


def listen_dsn(settings: Settings, dsn: str) -> str:
    """Return where to LISTEN: past the pooler, if one stands between."""
    past_the_pooler = settings.listen_database_url
    return past_the_pooler.get_secret_value() if past_the_pooler is not None else dsn
