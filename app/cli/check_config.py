"""``newsstand check-config``: everything that would stop the service from starting."""

import typer

from app.cli.configuration import check_all

FAILED = 1


def check_config() -> None:
    """Check the settings, the catalogue file and the data directory, and print everything that is wrong.

    \b
    The commands serve and worker do the same before they start. Nothing is changed, and neither the database nor Stripe
    is asked. A line names a setting, never its value.
    Exit status: 0 if the service can start; 1 if it can't.
    """
    settings, findings = check_all()
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise typer.Exit(FAILED)
    typer.echo(f"The configuration is valid. The Stripe key is a {'live' if settings.livemode else 'test'} key.")
