"""What every command does first: read the settings, and say plainly what is wrong with them."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from app import observability, settings
from app.domain.plans import BadCatalogue

WRONG, BAD_SETTINGS = 1, 2


@contextmanager
def started() -> Iterator[settings.Settings]:
    """Give the settings. Exit status 2, and a line for each, when a setting or the catalogue is wrong."""
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
