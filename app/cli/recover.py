"""``newsstand recover``: after a backup was restored, bring the database up to date with Stripe."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated

import typer

from app.cli.startup import FAILED, command_settings, operator
from app.cli.sweeps import exclusively, progress_bar
from app.cli.times import TIME_FORMATS, parse_time
from app.context import Context
from app.db.recovery import PendingWork
from app.domain.errors import ConcurrentUpdate, StripeUnavailable
from app.domain.reconciliation import EVENT_RETENTION
from app.gateway.rate_limits import backlog
from app.services import catalogue, notifications, reconciliation
from app.settings import Settings


def recover(
    since: Annotated[str, typer.Option(help=f"When the backup was made: {TIME_FORMATS}", show_default=False)],
    restart: Annotated[
        bool, typer.Option("--restart", help="Start over instead of continuing an interrupted run.")
    ] = False,
) -> None:
    """Bring a restored database up to date with Stripe, until nothing differs.

    Run it after the backup was restored and migrated, and before the API and the workers are started. Meanwhile, the API
    would offer a second subscription to readers who paid after the backup, and quote refunds that were already paid.

    First, it raises the numbers of revocations and events, and the versions of entitlements, above those that were given
    after the backup, because edge servers and other systems remember these. Then it repeats three steps, and ends when the
    first one finds nothing:

    \b
    1. Compare with Stripe, 100 objects a call. Readers who paid for the first time after the backup are added. Events
       since the backup are stored (Stripe lists them for 30 days), and subscriptions, payments, refunds and disputes
       that differ are to be fetched again.
    2. Apply this, as workers do. Refunds and subscriptions since the backup are history: no policy ends or refunds
       anything because of them. Our own refunds get back their ID and their basis, so a used guarantee stays used.
       Everything else that is due waits until the workers start: the old data could end a contract that was resumed since.
    3. Compare again.

    You can stop it at any time and run it again; give the same absolute time to continue where it stopped. If nothing
    differs, it only raises the numbers again.

    Messages that were to be sent to readers since the backup are sent once the workers run, also if they were sent before,
    as their kind promises. Those of a kind that is not sent twice are not sent; staff find them in the work queue.

    \b
    newsstand recover --since 2026-11-24T02:00Z
    Exit status: 0 if nothing differs; 1 on an error (run it again to continue) or if something differs that needs
    review, which is listed.
    """
    with command_settings() as settings:
        try:
            left, lost = asyncio.run(_recover(settings, since, restart=restart))
        except StripeUnavailable as unavailable:
            typer.echo(f"Could not reach Stripe at {settings.stripe_url}: {unavailable}", err=True)
            typer.echo("Progress is saved. Run the same command to continue.", err=True)
            raise typer.Exit(FAILED) from None
        except ConcurrentUpdate:
            typer.echo("Another process continues this run.", err=True)
            raise typer.Exit(FAILED) from None
    if lost:
        typer.echo(
            f"Messages to readers that may have been sent since the backup, and are not sent again: {lost:,}.", err=True
        )
    for words in left:
        typer.echo(words)
    if left:
        typer.echo(f"{len(left)} still {'differs' if len(left) == 1 else 'differ'} from Stripe. See above.", err=True)
        raise typer.Exit(FAILED)
    typer.echo("Nothing differs from Stripe.", err=True)


async def _recover(settings: Settings, since: str, *, restart: bool) -> tuple[Sequence[str], int]:
    from app import main  # imported here to keep the other commands fast
    from app.jobs import make_worker

    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        backup_at = _backup_time(since, now=await ctx.clock.policy())
        async with exclusively(ctx, patience=2 * settings.lease):
            with backlog(), _Display(await _size(ctx)) as display:
                recovered = await reconciliation.recover(
                    ctx,
                    since=backup_at,
                    by=operator(),
                    restart=restart,
                    work=make_worker(ctx, is_recovery=True).run,
                    sweeping=display.sweeping,
                    settling=display.settling,
                )
                lost = await notifications.settle_lost(ctx, until=recovered.began_at, now=await ctx.clock.policy())
                return recovered.left, lost


def _backup_time(since: str, *, now: datetime) -> datetime:
    backup_at = parse_time(since, now=now, option="--since")
    assert backup_at is not None
    if backup_at > now:
        raise typer.BadParameter("the time of the backup is in the future", param_hint="--since")
    if now - backup_at > EVENT_RETENTION:
        typer.echo("Stripe lists events of the last 30 days. What is older is compared with the other lists.", err=True)
    return backup_at


async def _size(ctx: Context) -> int:
    return sum((await reconciliation.sizes(ctx)).values())


class _Display:
    """Shows the progress of each step on standard error."""

    def __init__(self, size: int) -> None:
        self._size, self._shown, self._last = size, ExitStack(), -1

    def __enter__(self) -> "_Display":
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def sweeping(self, number: int) -> reconciliation.Progress:
        """Show the bar of a comparison."""
        self._shown.close()
        typer.echo(f"Round {number}: comparing with Stripe.", err=True)
        self._last = -1
        return progress_bar(self._shown, self._size)

    def settling(self, left: PendingWork) -> None:
        """Show how much is left to apply, whenever it changes."""
        self._shown.close()
        if left.rows != self._last:
            self._last = left.rows
            typer.echo(f"Applying what differs: {left.counted} left.", err=True)
