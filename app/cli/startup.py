"""What every command does first: read the settings, and say plainly what is wrong with them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from getpass import getuser

import typer

from app import observability, settings
from app.db.engine.dsn import find_dsn
from app.db.engine.session import DATABASE_FAILURES, Sessions, make_engine, make_sessions, remedy
from app.domain.errors import DomainError
from app.domain.plans import BadCatalogue

WRONG, BAD_SETTINGS = 1, 2


@contextmanager
def started() -> Iterator[settings.Settings]:
    """
    Give the settings. Exit status 2, and a line for each, when a setting or the catalogue is wrong.

    And status 1, with the reason, when what was asked is refused, or when the database is not there or not as this release
    needs it.
    """
    try:
        found = settings.load()
        observability.configure(found.log_level)
        yield found
    except settings.BadSettings as wrong:
        typer.echo(f"Newsstand cannot start:\n{wrong}", err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    except BadCatalogue as wrong:
        typer.echo(f"Newsstand cannot start: the catalogue is wrong:\n{wrong}", err=True)
        raise typer.Exit(BAD_SETTINGS) from None
    except DomainError as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(WRONG) from None
    except DATABASE_FAILURES as failure:
        if (words := remedy(failure)) is None:
            raise
        typer.echo(words, err=True)
        raise typer.Exit(WRONG) from None


@asynccontextmanager
async def opened(settings: settings.Settings) -> AsyncIterator[Sessions]:
    """Give transactions in the database of the settings, for a command that needs nothing else."""
    engine = make_engine(await find_dsn(settings), pool_size=1, pooler=settings.database_pooler)
    try:
        yield make_sessions(engine)
    finally:
        await engine.dispose()


def operator() -> str:
    """Return how the audit log calls whoever typed the command."""
    try:
        return f"operator:{getuser()}"
    except (OSError, KeyError):  # a container need not know the name of its user
        return "operator:unnamed"
