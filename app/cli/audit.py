"""``newsstand audit``: list the audit log and verify its hash chain."""

import asyncio
import json
import re
from typing import Annotated

import typer

from app.cli.startup import FAILED, command_settings, open_database
from app.cli.times import TIME_FORMATS, parse_time
from app.clock import SystemClock
from app.db.audit import ListedEntry
from app.domain.audit import Selection
from app.domain.pages import Page
from app.services import audit
from app.settings import Settings

cli = typer.Typer(
    name="audit",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The audit log: who did what to someone's money or access, when and why.

\b
    newsstand audit list --actor staff:user-7 --since 3d
    newsstand audit verify

Entries form a hash chain, so a changed, removed or inserted entry is detected.""",
)


@cli.command("list", short_help="List entries.")
def list_entries(
    actor: Annotated[str | None, typer.Option(help="The exact actor: staff:user-7.")] = None,
    action: Annotated[str | None, typer.Option(help="The exact action, or a prefix and a star: 'refund.*'.")] = None,
    about: Annotated[str | None, typer.Option("--object", help="The ID of the changed object.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="The subscriber's ID: rdr_...")] = None,
    since: Annotated[str | None, typer.Option(help=f"At or after: {TIME_FORMATS}")] = None,
    until: Annotated[str | None, typer.Option(help="Before; same formats.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of entries.")] = 20,
    after: Annotated[
        int | None, typer.Option(min=0, max=10**18, help="The cursor printed at the end of the previous page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List entries, newest first.

    \b
    newsstand audit list --action 'refund.*' --since 3d
    newsstand audit list --subscriber rdr_123 --json
    """
    now = SystemClock().real()
    wanted = Selection(
        actor=actor,
        action=action,
        object_id=about,
        subscriber_id=subscriber,
        since=parse_time(since, now=now, option="--since"),
        until=parse_time(until, now=now, option="--until"),
    )
    with command_settings() as settings:
        found = asyncio.run(_page(settings, wanted, after, limit))
    if as_json:
        from app.api.audit import AuditEntryOut  # imported here to keep the list fast

        rows = [AuditEntryOut.of(one).model_dump(mode="json") for one in found.items]
        typer.echo(json.dumps({"data": rows, "next": found.next}, indent=2))
        return
    for one in found.items:
        typer.echo(_line(one))
    if found.next is not None:
        typer.echo(f"For the next page: --after {found.next}", err=True)
    if not found.items:
        typer.echo("No entries.", err=True)


@cli.command(short_help="Verify the hash chain.")
def verify(
    head: Annotated[str | None, typer.Option(metavar="HASH", help="A hash that an earlier run printed.")] = None,
) -> None:
    """Verify every entry from the first, and print the newest hash. Exit status 1 if an entry was changed.

    Store the hash outside the database and pass it next time. Someone with full access to the database could rewrite the
    chain or cut off its end, but the new chain would not contain that hash.

    \b
    newsstand audit verify
    newsstand audit verify --head 9b74c9897bac770f...
    """
    if head is not None and not re.fullmatch("[0-9a-f]{64}", head):
        raise typer.BadParameter("must be 64 hexadecimal digits, as printed by this command", param_hint="--head")
    with command_settings() as settings:
        found = asyncio.run(_verify(settings, head))
    if found.broken is not None:
        typer.echo(
            f"{found.broken.what}: {found.broken.words}. The {found.sealed} entries before it are intact.", err=True
        )
        raise typer.Exit(FAILED)
    if not found.holds:
        typer.echo(
            f"removed: the chain is consistent but does not contain {head}. Its newest entries were removed, or the whole"
            " chain was rewritten.",
            err=True,
        )
        raise typer.Exit(FAILED)
    typer.echo(f"{found.sealed} entries are intact; {found.waiting} are not in the chain yet.", err=True)
    if found.replaced:
        typer.echo(f"The actor of {found.replaced} of them was replaced when a reader was erased.", err=True)
    typer.echo(found.head)


async def _page(settings: Settings, wanted: Selection, after: int | None, limit: int) -> Page[ListedEntry]:
    async with open_database(settings) as ctx:
        return await audit.page(ctx, wanted, after=after, limit=limit)


async def _verify(settings: Settings, kept: str | None) -> audit.Verification:
    async with open_database(settings) as ctx:
        return await audit.verify(
            ctx, known_hash=kept, progress=lambda done: typer.echo(f"{done} entries verified", err=True)
        )


def _line(listed: ListedEntry) -> str:
    entry = listed.entry
    why = ": ".join(part for part in (entry.reason, listed.note) if part)
    parts = (
        entry.at.strftime("%Y-%m-%d %H:%M:%SZ"),
        entry.actor,
        entry.action,
        entry.object_id,
        entry.subscriber_id,
        f"({why})" if why else None,
    )
    return "  ".join(part for part in parts if part)
