"""Find the DSN of the database: from the settings, or of the embedded server."""

import asyncio
from urllib.parse import parse_qs, unquote, urlsplit

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


def service_role(settings: Settings) -> str | None:
    """Return the role that the service connects as, if the schema belongs to another one; None if it is the same."""
    if settings.database_url is None or settings.migration_database_url is None:
        return None
    service, owner = (_user(url.get_secret_value()) for url in (settings.database_url, settings.migration_database_url))
    return service if service != owner else None


def _user(dsn: str) -> str | None:
    parts = urlsplit(dsn)
    named = parse_qs(parts.query).get("user")
    return named[0] if named else unquote(parts.username) if parts.username else None


def listen_dsn(settings: Settings, dsn: str) -> str:
    """Return the DSN for LISTEN, which bypasses a pooler."""
    direct = settings.listen_database_url
    return direct.get_secret_value() if direct is not None else dsn
