"""The command line: ``newsstand``, or ``python -m app``."""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

HELP = """Newsstand, the subscription billing service of a magazine.

\b
Try it, with everything on this machine:
    newsstand demo
Run it:
    newsstand migrate && newsstand catalogue push && newsstand serve

Settings are environment variables, NEWSSTAND_...; .env.example lists them."""
COMMANDS = {  # name: module of app.cli, function
    "serve": ("serve", "serve"),
    "worker": ("serve", "worker"),
    "check-config": ("check_config", "check_config"),
    "migrate": ("database", "migrate"),
    "status-table": ("status_table", "status_table"),
    "reconcile": ("reconcile", "reconcile"),
    "recover": ("recover", "recover"),
    "changes": ("derivations", "changes"),
}
GROUPS = {
    "audit": "audit",
    "catalogue": "catalogue",
    "events": "events",
    "import": "imports",
    "keys": "api_keys",
    "issues": "issues",
    "report": "reports",
    "subscribers": "subscribers",
    "webhook-endpoints": "webhook_endpoints",
}


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """
    Return the command line.

    :param words: the arguments. Only the command that they name is imported, since importing all of them takes several
        times as long as a short command runs.
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
    from app.cli.startup import command_settings

    with command_settings() as settings:
        typer.echo(json.dumps(main.document(main.application(settings)), indent=2))


def demo() -> None:
    """Start everything on this machine: database, local Stripe, sign-in, service, worker and a magazine site."""
    raise typer.Exit(subprocess.call([sys.executable, "-m", "demo"]))


def run() -> None:
    """Run the command line."""
    command_line(sys.argv[1:])()


if __name__ == "__main__":
    run()
