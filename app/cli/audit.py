"""``newsstand audit``: who did what, and whether the log of it is as it was written."""

import asyncio
import json
import re
from typing import Annotated

import typer

from app.cli.moments import HELP, moment
from app.cli.startup import WRONG, opened, started
from app.clock import SystemClock
from app.db.audit import Listed
from app.domain.audit import Selection
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

Each entry is sealed by a hash over it and the seal before it, so that none can be changed, removed or put in unseen.""",
)


@cli.command("list", short_help="Who did what?")
def list_entries(
    actor: Annotated[str | None, typer.Option(help="Whole: staff:user-7.")] = None,
    action: Annotated[str | None, typer.Option(help="Whole, or its beginning and a star: 'refund.*'.")] = None,
    about: Annotated[str | None, typer.Option("--object", help="The id of what it was done to.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="The id of whose it is: rdr_...")] = None,
    since: Annotated[str | None, typer.Option(help=f"Then or later: {HELP}")] = None,
    until: Annotated[str | None, typer.Option(help="Before: the same forms.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    after: Annotated[
        int | None, typer.Option(min=0, max=10**18, help="Go on after the place that the list before ended with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """List entries, the newest first.

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
        since=moment(since, now=now, option="--since"),
        until=moment(until, now=now, option="--until"),
    )
    with started() as settings:
        found = asyncio.run(_page(settings, wanted, after, limit))
    if as_json:
        from app.api.audit import AuditEntryOut  # here, so that the list does not wait for it

        rows = [AuditEntryOut.of(one).model_dump(mode="json") for one in found.found]
        typer.echo(json.dumps({"data": rows, "next": found.next}, indent=2))
        return
    for one in found.found:
        typer.echo(_line(one))
    if found.next is not None:
        typer.echo(f"There are more: --after {found.next}", err=True)
    if not found.found:
        typer.echo("There are none.", err=True)


@cli.command(short_help="Is the log as it was written?")
def verify(
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="A head that was printed before, and kept elsewhere.")
    ] = None,
) -> None:
    """Look at every entry, from the first; print the newest seal's hash. Exit status 1: something is not as it was written.

    Keep the hash where whoever owns the database cannot write, and give it the next time: whoever can write all tables
    could make a new chain, or cut off the end of this one, but not so that it still goes through that hash.

    \b
    newsstand audit verify
    newsstand audit verify --head 9b74c9897bac770f...
    """
    if head is not None and not re.fullmatch("[0-9a-f]{64}", head):
        raise typer.BadParameter("a head is 64 hexadecimal digits, as this command prints it", param_hint="--head")
    with started() as settings:
        found = asyncio.run(_verify(settings, head))
    if found.broken is not None:
        typer.echo(f"{found.broken.what}: {found.broken.words}. {found.sealed} before it hold.", err=True)
        raise typer.Exit(WRONG)
    if not found.holds:
        typer.echo(
            f"removed: the chain holds, but does not go through {head}: its newest entries were removed, or all of it"
            " was written anew.",
            err=True,
        )
        raise typer.Exit(WRONG)
    typer.echo(f"{found.sealed} entries are as they were written, {found.waiting} wait for their seal.", err=True)
    typer.echo(found.head)


async def _page(settings: Settings, wanted: Selection, after: int | None, limit: int) -> audit.Page:
    async with opened(settings) as sessions:
        return await audit.page(sessions, wanted, after=after, limit=limit)


async def _verify(settings: Settings, kept: str | None) -> audit.Verified:
    async with opened(settings) as sessions:
        return await audit.verify(
            sessions, kept=kept, progress=lambda done: typer.echo(f"{done} entries hold", err=True)
        )


def _line(listed: Listed) -> str:
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
