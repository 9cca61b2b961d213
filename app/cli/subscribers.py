"""``newsstand subscribers``: export or erase everything that is stored about one person."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from app.cli.startup import FAILED, command_settings, operator
from app.context import Context
from app.db import erasures as rows
from app.db import subscribers
from app.domain.erasures import Erasure, ErasurePreview
from app.domain.errors import NotFound, StripeUnavailable
from app.domain.exports import Export, readable_page
from app.services import cancellations, catalogue, erasures, exports, refunds
from app.settings import Settings

ATTEMPTS, PAUSE_SECONDS = 30, 1.0  # of the steps that wait for Stripe
Reader = Annotated[str, typer.Argument(metavar="SUB", help="The reader's sub at the identity provider, or rdr_...")]
cli = typer.Typer(
    name="subscribers",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Export or erase everything that is stored about one person, here and at Stripe.

\b
    newsstand subscribers export user-1 --output user-1.json
    newsstand subscribers export user-1 --output user-1.html
    newsstand subscribers erase user-1 --dry-run
    newsstand subscribers erase user-1""",
)


@cli.command(short_help="Export everything about a person.")
def export(
    reader: Reader,
    output: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Where to write: JSON, or a readable page if the name ends in .html."),
    ] = None,
) -> None:
    """Export everything that is stored about a person, here and at Stripe, as JSON or as a page that people can read.

    Staff are not named, because they are other people. The export is recorded in the audit log.

    \b
    newsstand subscribers export user-1 > user-1.json
    newsstand subscribers export user-1 --output user-1.html
    """
    with command_settings() as settings:
        found = asyncio.run(_export(settings, reader))
        as_page = output is not None and output.suffix.lower() in {".html", ".htm"}
        content = readable_page(found) if as_page else json.dumps(found.as_json(), indent=2, ensure_ascii=False)
        if output is None:
            typer.echo(content)
            return
        output.touch(mode=0o600)  # nobody else on this machine may read it
        output.chmod(0o600)  # nor if it was there before
        output.write_text(content + "\n", encoding="utf-8")
        typer.echo(f"Written to {output}.", err=True)


@cli.command(short_help="Erase a person.")
def erase(
    reader: Reader,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would end and what blocks it.")] = False,
    without_refund: Annotated[
        bool, typer.Option("--without-refund", help="Confirm that what can be refunded is not refunded.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Erase a person: end what is running, anonymize what the books must keep, and delete the rest, here and at Stripe.

    Running subscriptions end immediately and nothing is refunded by that. If money can still be refunded, the command says
    so and stops: refund it first, or confirm with --without-refund. It also stops while a refund, a dispute or a request is
    undecided. It can't be undone. If it is interrupted, a worker completes it, or you run the same command again.

    \b
    newsstand subscribers erase user-1 --dry-run
    Exit status: 0 if the person is erased; 1 if not, or not yet (run it again).
    """
    with command_settings() as settings:
        raise typer.Exit(asyncio.run(_erase(settings, reader, dry_run, without_refund, yes)))


async def _export(settings: Settings, reader: str) -> Export:
    from app import main  # imported here to keep the other commands fast

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        return await exports.export(ctx, await _reader_id(ctx, reader), by=operator(), now=ctx.clock.real())


async def _erase(settings: Settings, reader: str, dry_run: bool, without_refund: bool, yes: bool) -> int:
    from app import main

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        async with ctx.sessions.begin() as session:
            is_known = await subscribers.by_sub(session, reader) is not None  # also one who came back
        erasure = await erasures.find(ctx, reader) if not is_known else None
        if erasure is None:
            reader_id, now = await _reader_id(ctx, reader), await ctx.clock.policy()
            preview = await erasures.preview(ctx, reader_id, now=now)
            _show(preview)
            if dry_run:
                return 0
            preview.check(without_refund=without_refund)
            if not yes:
                typer.confirm(f"Erase {reader}? This can't be undone.", abort=True, err=True)
            erasure = await erasures.order(ctx, reader_id, without_refund=without_refund, by=operator(), now=now)
        for attempt in range(ATTEMPTS):
            erasure = await _complete(ctx, erasure)
            if erasure.finished_at is not None:
                _report(erasure)
                return 0
            await asyncio.sleep(PAUSE_SECONDS if attempt else 0)
        typer.echo("Not complete yet. A worker continues; run the same command again to see the report.", err=True)
        return FAILED


async def _complete(ctx: Context, erasure: Erasure) -> Erasure:
    """Do the next steps, as a worker does: what ends at Stripe, its refunds, then the erasure."""
    now = await ctx.clock.policy()
    async with ctx.sessions.begin() as session:
        unclosed = await rows.unclosed_subscriptions(session, erasure.subscriber_id)
        unfinished = await rows.unfinished_refunds(session, erasure.subscriber_id)
    try:
        for subscription_id in unclosed:
            await cancellations.finish(ctx, subscription_id, now=now)
        for refund_id in unfinished:
            await refunds.finish(ctx, refund_id, now=now)
        await erasures.finish(ctx, erasure.id, now=now)
    except StripeUnavailable as waits:
        typer.echo(f"Waiting: {waits}.", err=True)
    return await erasures.get(ctx, erasure.id)


async def _reader_id(ctx: Context, reader: str) -> str:
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, reader) or await subscribers.by_id(session, reader)
    if found is None:
        raise NotFound("No such reader. One who was erased is only known by the ID rdr_... of the report")
    return found.id


def _show(preview: ErasurePreview) -> None:
    for one in preview.ends:
        typer.echo(f"Ends now: {one}")
    for item in preview.refundable:
        typer.echo(f"Can be refunded: {item.money} of {item.payment_id} ({item.basis.replace('_', ' ')})")
    for credit in preview.credit:
        typer.echo(f"Credit at Stripe that is deleted: {credit}")
    for blocker in preview.blockers:
        typer.echo(f"Blocked: {blocker.words}.")


def _report(erasure: Erasure) -> None:
    typer.echo(f"Erased as {erasure.subscriber_id}.")
    for table, count in sorted(erasure.erased.items()):
        typer.echo(f"  erased in {table}: {count}")
    for one in erasure.kept:
        typer.echo(f"  kept: {one.count} {one.what}. {one.why}")
