"""Starting, stopping and watching a migration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from app.context import Context
from app.db import audit, notifications, price_migrations
from app.domain.errors import NotFound
from app.domain.notifications import Channel, NotificationKind
from app.domain.pages import BadCursor, Page, page_of
from app.domain.price_migrations import (
    OPEN,
    MigrationInProgress,
    MigrationNotRunning,
    MigrationStatus,
    NoticesOff,
    PriceChange,
    PriceMigration,
    UnknownPrice,
    targets_of,
)
from app.domain.prices import product_id
from app.gateway import prices

# A checkout that is open when a migration starts can be paid at the old price for a day. Its subscription is listed then.
LISTED_AGAIN = timedelta(hours=25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A migration, and the number of its changes by status and reason."""

    migration: PriceMigration
    counts: Mapping[tuple[str, str | None], int]

    def count(self, *statuses: str) -> int:
        """Return the number of changes with one of the statuses."""
        return sum(count for (status, _), count in self.counts.items() if status in statuses)

    @property
    def open(self) -> int:
        """The number of changes that are not decided."""
        return self.count(*OPEN)

    @property
    def kept(self) -> Mapping[str, int]:
        """How many keep their price, by reason."""
        found: dict[str, int] = {}
        for (status, reason), count in self.counts.items():
            if status not in OPEN and reason is not None:
                found[reason] = found.get(reason, 0) + count
        return found


async def prepare(
    ctx: Context,
    plan_code: str,
    wanted: Sequence[str],
    *,
    from_day: date,
    publisher_sends_notices: bool,
    by: str,
    now: datetime,
) -> PriceMigration:
    """
    Return the migration that :func:`start` would store. Changes nothing.

    :param wanted: the new prices: lookup keys of the catalogue, or IDs of Stripe's prices.
    :param from_day: the first day, in the publisher's time zone, of a renewal at the new price.
    :raises UnknownPlan: there is no such plan.
    :raises UnknownPrice: a price is not one of the plan's that can be bought.
    """
    plan = ctx.catalogue.plan(plan_code)
    found = [
        price
        for component in plan.prices
        for price in await prices.of_product(ctx.gateway, product_id(plan.code, component))
    ]
    targets = targets_of(plan, wanted, found)
    currencies = {price.currency for price in found if price.id in {target.price_id for target in targets}}
    if len(currencies) != 1:
        raise UnknownPrice("The prices must be in one currency", price=", ".join(wanted))
    return PriceMigration(
        id=price_migrations.new_migration_id(),
        plan=plan.code,
        currency=currencies.pop(),
        targets=targets,
        versions=tuple(price.id for price in found if price.version is not None),
        from_at=datetime.combine(from_day, time(), ctx.settings.zone),
        status=MigrationStatus.PLANNING,
        publisher_sends_notices=publisher_sends_notices,
        requested_by=by,
        created_at=now,
    )


async def start(ctx: Context, migration: PriceMigration) -> None:
    """
    Store a migration, which a worker then carries out.

    :raises NoticesOff: nobody tells the readers.
    :raises MigrationInProgress: the plan has a migration that is not finished.
    """
    if not migration.publisher_sends_notices and not _are_delivered(ctx):
        raise NoticesOff(
            "Notices are not delivered. If you tell the readers in another way, add --publisher-sends-notices."
        )
    async with ctx.sessions.begin() as session:
        await price_migrations.lock_plan(session, migration.plan)
        running = await price_migrations.unfinished(session, migration.plan)
        if running is not None:
            raise MigrationInProgress(
                f"The migration {running.id} of the plan {migration.plan} is not finished", migration=running.id
            )
        await price_migrations.insert(session, migration, list_again_at=migration.created_at + LISTED_AGAIN)
        await audit.record(
            session,
            actor=migration.requested_by,
            action="price_migration.started",
            object_id=migration.id,
            after={
                "plan": migration.plan,
                "prices": {target.component: target.price_id for target in migration.targets},
                "from": migration.from_at.isoformat(),
                "publisher_sends_notices": migration.publisher_sends_notices,
            },
        )


def _are_delivered(ctx: Context) -> bool:
    """Return whether readers get the notice of a new price: by email, or from the publisher's own mailer."""
    channels = {one.channel for one in ctx.catalogue.policies.notices if one.kind is NotificationKind.PRICE_CHANGE}
    return Channel.WEBHOOK in channels or (Channel.EMAIL in channels and ctx.mailer is not None)


async def stop(ctx: Context, migration_id: str, *, by: str, now: datetime) -> Progress:
    """
    Stop a migration. Subscriptions without the new price keep theirs; those that have it since at most three days keep it.

    If Stripe was asked for a new price and has not answered, the next step of the change sees whether it has it. Notices
    that are ordered and not sent are dropped.

    :raises NotFound: it does not exist.
    :raises MigrationNotRunning: it is finished or was stopped.
    """
    async with ctx.sessions.begin() as session:
        migration = await price_migrations.by_id(session, migration_id, lock=True)
        if migration is None:
            raise NotFound("No such price migration")
        if not await price_migrations.set_status(session, migration_id, MigrationStatus.STOPPED, ended_at=now):
            raise MigrationNotRunning
        stopped = await price_migrations.stop_changes(session, migration_id)
        await notifications.drop_unsent(session, NotificationKind.PRICE_CHANGE, stopped)
        await audit.record(
            session,
            actor=by,
            action="price_migration.stopped",
            object_id=migration_id,
            before={"status": migration.status},
            after={"status": MigrationStatus.STOPPED, "stopped": len(stopped)},
        )
    return await progress(ctx, migration_id)


async def progress(ctx: Context, migration_id: str) -> Progress:
    """
    Return how far a migration is.

    :raises NotFound: it does not exist.
    """
    async with ctx.sessions.begin() as session:
        migration = await price_migrations.by_id(session, migration_id)
        if migration is None:
            raise NotFound("No such price migration")
        return Progress(migration=migration, counts=await price_migrations.counts(session, migration_id))


async def page(ctx: Context, *, after: str | None = None, limit: int = 50) -> Page[Progress]:
    """
    Return migrations, newest first.

    :raises BadCursor: ``after`` is not a cursor.
    """
    try:
        before = datetime.fromisoformat(after) if after is not None else None
    except ValueError:
        before = None
    if after is not None and (before is None or before.tzinfo is None):
        raise BadCursor
    async with ctx.sessions.begin() as session:
        found = await price_migrations.page(session, before=before, limit=limit + 1)
        shown = [
            Progress(migration=one, counts=await price_migrations.counts(session, one.id)) for one in found[:limit]
        ]
    cursor = shown[-1].migration.created_at.isoformat() if len(found) > limit else None
    return Page(items=shown, next=cursor)


async def changes(
    ctx: Context, migration_id: str, *, status: str | None = None, after: str | None = None, limit: int = 50
) -> Page[PriceChange]:
    """
    Return the changes of a migration.

    :raises NotFound: it does not exist.
    """
    async with ctx.sessions.begin() as session:
        if await price_migrations.by_id(session, migration_id) is None:
            raise NotFound("No such price migration")
        found = await price_migrations.changes(session, migration_id, status=status, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda one: one.id)
