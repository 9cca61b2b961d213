"""What every command does first: load the settings, and print clear errors."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from getpass import getuser

import typer

from app import observability
from app.cli import configuration
from app.context import DatabaseContext
from app.db.engine.connections import limit_statements
from app.db.engine.dsn import find_dsn
from app.db.engine.session import DATABASE_FAILURES, ServerTimeouts, make_engine, make_sessions, remedy
from app.domain.errors import DomainError
from app.domain.plans import BadCatalogue
from app.encryption import NoSecret
from app.settings import Settings

FAILED, BAD_SETTINGS = 1, 2
LONGEST_STATEMENT = timedelta(hours=1)  # of a command that counts or verifies everything


@contextmanager
def command_settings(*, service: bool = False) -> Iterator[Settings]:
    """
    Yield the settings, and turn expected errors into a message and an exit status.

    :param service: whether the command is a process of the service. If so, the catalogue file and the data directory are
        checked too, as by `newsstand check-config`.

    Exit status 2 for invalid settings or an invalid catalogue, with a line for each error. Exit status 1, with the reason,
    if the request is refused, or if the database is unreachable or not migrated to this release.
    """
    try:
        found = configuration.load_all() if service else configuration.load()
        observability.configure(found.log_level)
        yield found
    except configuration.BadSettings as wrong:
        typer.echo(f"Newsstand cannot start. Invalid configuration:\n{wrong}", err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    except BadCatalogue as wrong:
        typer.echo(f"Newsstand cannot start. The catalogue is invalid:\n{wrong}", err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    except (DomainError, NoSecret) as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(FAILED) from None
    except DATABASE_FAILURES as failure:
        if (words := remedy(failure)) is None:
            raise
        typer.echo(words, err=True)
        raise typer.Exit(FAILED) from None


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[DatabaseContext]:
    """
    Open the configured database, for a command that needs nothing else.

    A command that is suspended loses its locks as a process of the service does, and its statements may take longer.
    """
    limit_statements(LONGEST_STATEMENT.total_seconds())
    engine = make_engine(
        await find_dsn(settings),
        pool_size=1,
        pooler=settings.database_pooler,
        timeouts=ServerTimeouts(statement=LONGEST_STATEMENT),
    )
    try:
        yield DatabaseContext(settings=settings, sessions=make_sessions(engine))
    finally:
        await engine.dispose()


def operator() -> str:
    """Return the audit log's name for the person who runs the command."""
    try:
        return f"operator:{getuser()}"
    except (OSError, KeyError):  # in a container, the user may have no name
        return "operator:unknown"
