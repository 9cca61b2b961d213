"""The command line: ``newsstand``, or ``python -m app``."""

import json
import subprocess
import sys

import typer

from app.cli import audit, catalogue, database, events, imports, issues, keys, lives, reconcile, serving
from app.cli.starting import started

cli = typer.Typer(
    name="newsstand",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""Newsstand, the subscription billing service of a magazine.

\b
To try it, with everything on this machine:
    newsstand demo
To run it:
    newsstand migrate && newsstand catalogue push && newsstand serve

Settings are environment variables, NEWSSTAND_...; the README lists them.""",
)
cli.command()(serving.serve)
cli.command()(serving.worker)
cli.command()(database.migrate)
cli.command()(lives.lives)
cli.command()(reconcile.reconcile)
cli.add_typer(audit.cli)
cli.add_typer(catalogue.cli)
cli.add_typer(events.cli)
cli.add_typer(imports.cli)
cli.add_typer(keys.cli)
cli.add_typer(issues.cli)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the REST API."""
    from app import main  # here, so that the quick commands do not wait for it

    with started() as settings:
        typer.echo(json.dumps(main.document(main.application(settings)), indent=2))


@cli.command()
def demo() -> None:
    """Start the whole shop on this machine: database, local Stripe, sign-in, service, worker and a magazine site."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "demo"]))


if __name__ == "__main__":
    cli()
