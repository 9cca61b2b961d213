"""``newsstand changes``: how far changes of the calendar and the catalogue are applied."""

import asyncio
from collections.abc import Sequence

import typer

from app.cli.startup import command_settings, open_database
from app.db.derivations import Run
from app.services import derivations
from app.settings import Settings


def changes() -> None:
    """Show how far the last changes of the issue calendar and the catalogue have been applied to subscriptions.

    \b
    newsstand changes
    For each change: when it was made, its kind, the number of affected subscriptions, how many of them are done, and
    for how many access changed.
    """
    with command_settings() as settings:
        found = asyncio.run(_recent(settings))
    for run in found:
        state = "finished" if run.finished_at is not None else "in progress" if run.is_queued else "being queued"
        typer.echo(
            f"{run.created_at:%Y-%m-%d %H:%M} {run.kind:<9} {run.found} affected, {run.visited} done, "
            f"{run.changed} changed, {state}"
        )
    if not found:
        typer.echo("No changes yet.")


async def _recent(settings: Settings) -> Sequence[Run]:
    async with open_database(settings) as ctx:
        return await derivations.recent(ctx)
