"""``newsstand catalogue migrate``, ``migrations`` and ``stop-migration``: current subscribers move to a new price."""

import asyncio
import csv
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, TypeVar

import typer

from app.cli.startup import command_settings, operator
from app.context import Context
from app.domain.price_migrations import ChangeStatus, MigrationStatus, PriceChange, PriceMigration
from app.domain.prices import format_price
from app.services import catalogue, price_migrations
from app.services.price_migrations import Progress
from app.settings import Settings

UNCONFIRMED = 2
PAGE = 500
T = TypeVar("T")


def migrate(
    plan: Annotated[str, typer.Argument(help="The plan's code, such as annual.")],
    to: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="PRICE", help="A new price: its lookup key, or its ID at Stripe. One for each component."
        ),
    ],
    since: Annotated[
        str, typer.Option("--from", metavar="DATE", help="The first day of a renewal at the new price: 2027-03-01.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change, and start nothing.")] = False,
    publisher_sends_notices: Annotated[
        bool,
        typer.Option(
            "--publisher-sends-notices",
            help="You send the notices yourself, 28 days before each renewal. Newsstand sends none. This is recorded.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")] = False,
) -> None:
    """Move current subscribers of a plan to a new price, each at a renewal, and tell them before.

    Prints a line for each subscription as CSV: its prices before and after, without discounts and tax, and the renewal;
    or why it keeps its price. Then asks for confirmation. Workers do the rest, for as long as a term lasts: each reader is
    told the exact total 30 days before the renewal, or as the catalogue says, and the price changes 3 days before it.
    Nothing is charged in between. A cancellation stops the change of a subscription.

    \b
    newsstand catalogue push                  # first: the new price is in the catalogue
    newsstand catalogue migrate annual --to newsstand_annual_digital --from 2027-03-01 --dry-run > plan.csv
    newsstand catalogue migrate annual --to newsstand_annual_digital --to newsstand_annual_print --from 2027-03-01
    newsstand catalogue migrations            # how far it is
    newsstand catalogue stop-migration pmg_123
    Prices with `locked = true` in the catalogue never change. Each plan has one migration at a time.
    Exit status: 0 if it was started, or with --dry-run; 1 if it can't be; 2 if you didn't confirm.
    """
    day = _date(since)

    async def work(ctx: Context, now: datetime) -> bool:
        migration = await price_migrations.prepare(
            ctx, plan, to, from_day=day, publisher_sends_notices=publisher_sends_notices, by=operator(), now=now
        )
        await _print_changes(ctx, migration, now)
        if dry_run:
            return True
        if not _is_confirmed(yes=yes):
            return False
        await price_migrations.start(ctx, migration)
        typer.echo(
            f"Started {migration.id}. See how far it is: newsstand catalogue migrations {migration.id}", err=True
        )
        return True

    if not _run(work):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(UNCONFIRMED)


def migrations(
    migration_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One migration. Default: all.")] = None,
    with_changes: Annotated[
        bool, typer.Option("--changes", help="Print a line for each subscription of the migration, as CSV.")
    ] = False,
) -> None:
    """Show the progress of price migrations: how many readers were told, have the new price, or keep theirs, and why.

    \b
    newsstand catalogue migrations
    newsstand catalogue migrations pmg_123 --changes > changes.csv
    Exit status: 1 if the migration does not exist.
    """

    async def work(ctx: Context, _: datetime) -> None:
        if migration_id is None:
            after: str | None = None
            while True:
                found = await price_migrations.page(ctx, after=after)
                for one in found.items:
                    _print_progress(one)
                after = found.next
                if after is None:
                    return
        _print_progress(await price_migrations.progress(ctx, migration_id), to_error=with_changes)
        if with_changes:
            await _print_stored(ctx, migration_id)

    _run(work)


def stop_migration(migration_id: Annotated[str, typer.Argument(metavar="ID", help="The migration.")]) -> None:
    """Stop a price migration. Subscriptions that don't have the new price yet keep theirs.

    A reader who was told of the new price pays the old one; tell them. Subscriptions that got the new price in the last
    three days keep it. You can start another migration afterwards.

    \b
    newsstand catalogue stop-migration pmg_123
    Exit status: 1 if it is finished, was stopped, or doesn't exist.
    """
    _print_progress(_run(lambda ctx, now: price_migrations.stop(ctx, migration_id, by=operator(), now=now)))


async def _print_changes(ctx: Context, migration: PriceMigration, now: datetime) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(_HEADER)
    kept: Counter[str] = Counter()
    changed = 0
    async for batch in price_migrations.preview(ctx, migration, now=now):
        for one in batch:
            lines.writerow(_line(one, ctx))
            if one.reason is not None:
                kept[one.reason] += 1
            else:
                changed += 1
    typer.echo(f"{changed} change, {kept.total()} keep their price{_reasons(kept)}.", err=True)


async def _print_stored(ctx: Context, migration_id: str) -> None:
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow([*_HEADER, "status", "total"])
    after: str | None = None
    while True:
        page = await price_migrations.changes(ctx, migration_id, after=after, limit=PAGE)
        for one in page.items:
            total = format_price(one.quote.total, one.currency) if one.quote else ""
            lines.writerow([*_line(one, ctx), one.status, total])
        after = page.next
        if after is None:
            return


_HEADER = ["subscription", "reader", "from", "to", "renewal", "keeps"]


def _line(change: PriceChange, ctx: Context) -> list[str]:
    day = change.renewal_at.astimezone(ctx.rules.zone).date().isoformat() if change.renewal_at else ""
    prices = [format_price(amount, change.currency) if change.items else "" for amount in (change.before, change.after)]
    return [change.stripe_id, change.subscriber_id or "", *prices, day, change.reason or ""]


def _print_progress(found: Progress, *, to_error: bool = False) -> None:
    one = found.migration
    prices = ", ".join(f"{it.component} {format_price(it.amount, one.currency)}" for it in one.targets)
    told = f"{found.count(ChangeStatus.ANNOUNCED)} told"
    made = f"{found.count(ChangeStatus.SWITCHING, ChangeStatus.SWITCHED)} with the new price"
    parts = [
        f"{found.count(ChangeStatus.PLANNED)} planned",
        told,
        made,
        f"{found.count(ChangeStatus.COMPLETED)} renewed",
    ]
    state = "listing subscriptions" if one.status == MigrationStatus.PLANNING else str(one.status)
    typer.echo(f"{one.id}: {one.plan} to {prices}, {state}", err=to_error)
    kept = Counter(found.kept)
    typer.echo(f"  {', '.join(parts)}; {kept.total()} keep their price{_reasons(kept)}", err=to_error)


def _reasons(kept: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in kept.most_common())})" if kept else ""


def _is_confirmed(*, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        typer.echo("Add --yes to start it, because the input is not a terminal.", err=True)
        return False
    try:
        return typer.confirm("Start this migration?", err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        return False


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2027-03-01", param_hint="--from") from None


def _run(work: Callable[[Context, datetime], Awaitable[T]]) -> T:
    with command_settings() as settings:
        return asyncio.run(_with_context(settings, work))


async def _with_context(settings: Settings, work: Callable[[Context, datetime], Awaitable[T]]) -> T:
    from app import main  # imported here to keep the other commands fast

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        return await work(ctx, await ctx.clock.policy())
