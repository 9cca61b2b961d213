"""The command line: ``newsstand``, or ``python -m app``."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

HELP = """Newsstand, the subscription billing service of a magazine.

\b
To try it, with everything on this machine:
    newsstand demo
To run it:
    newsstand migrate && newsstand catalogue push && newsstand serve

Settings are environment variables, NEWSSTAND_...; .env.example lists them."""
COMMANDS = {  # where each is, in app.cli
    "serve": ("serve", "serve"),
    "worker": ("serve", "worker"),
    "migrate": ("database", "migrate"),
    "lives": ("status_table", "lives"),
    "reconcile": ("reconcile", "reconcile"),
}
GROUPS = {
    "audit": "audit",
    "catalogue": "catalogue",
    "events": "events",
    "import": "imports",
    "keys": "api_keys",
    "issues": "issues",
}


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """
    Return the command line.

    :param words: what was typed. Of the commands it names one, and the others need not be there: to import them all takes
        several times as long as a quick command runs.
    """
    cli = typer.Typer(
        name="newsstand", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP
    )
    named = {word for word in words if word in COMMANDS or word in GROUPS}
    for name, (module, command) in COMMANDS.items():
        if not named or name in named:
            cli.command(name)(getattr(import_module(f"app.cli.{module}"), command))
    for name, module in GROUPS.items():
        if not named or name in named:
            cli.add_typer(import_module(f"app.cli.{module}").cli, name=name)
    cli.command()(openapi)
    cli.command()(demo)
    return cli


def openapi() -> None:
    """Print the OpenAPI document of the REST API."""
    from app import main
    from app.cli.startup import started

    with started() as settings:
        typer.echo(json.dumps(main.document(main.application(settings)), indent=2))


def demo() -> None:
    """Start the whole shop on this machine: database, local Stripe, sign-in, service, worker and a magazine site."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "demo"]))


def run() -> None:
    """Do what was typed."""
    command_line(sys.argv[1:])()


if __name__ == "__main__":
    run()
