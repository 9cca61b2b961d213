"""``/v1/support/price-migrations``: current subscribers who move to a new price."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import Admin, Ctx, Now
from app.api.listed_values import KeptPriceReason, PriceChangeStatus, PriceMigrationStatus
from app.api.models import ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.pages import BadCursor
from app.domain.price_migrations import ChangeStatus, MigrationNotRunning, PriceChange
from app.services import price_migrations
from app.services.price_migrations import Progress

router = APIRouter(prefix="/v1/support/price-migrations", tags=["operation"], route_class=Described)
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the previous page.")]


class NewPriceOut(ApiModel):
    """The new price of one component of the plan, before discounts and tax."""

    component: str = Field(examples=["digital"])
    price_id: str = Field(description="The price at Stripe.", examples=["price_1Rabc"])
    price: MoneyOut


class ChangeCountOut(ApiModel):
    """How many subscriptions are in a status, for a reason."""

    status: PriceChangeStatus = Field(examples=["left_out"])
    reason: KeptPriceReason | None = Field(description="Why they keep their price; else null.", examples=["locked"])
    count: int = Field(examples=[12])


class PriceMigrationOut(ApiModel):
    """A price migration, and the number of subscriptions in each status."""

    id: str = Field(examples=["pmg_0c5e"])
    status: PriceMigrationStatus = Field(examples=["running"])
    plan: str = Field(examples=["annual"])
    prices: list[NewPriceOut]
    from_: datetime = Field(
        alias="from",
        serialization_alias="from",
        description="The first moment of a renewal at the new price.",
        examples=["2027-03-01T06:00:00Z"],
    )
    publisher_sends_notices: bool = Field(description="Whether the publisher sends the notices.", examples=[False])
    created_at: datetime = Field(examples=["2026-11-28T18:00:00Z"])
    ended_at: datetime | None = Field(description="When it finished or was stopped.", examples=[None])
    counts: list[ChangeCountOut]

    @classmethod
    def of(cls, found: Progress) -> "PriceMigrationOut":
        """Return the body for a migration."""
        one = found.migration
        return cls.model_validate(
            {
                "id": one.id,
                "status": one.status,
                "plan": one.plan,
                "prices": [
                    NewPriceOut(
                        component=target.component,
                        price_id=target.price_id,
                        price=MoneyOut(amount=target.amount, currency=one.currency),
                    )
                    for target in one.targets
                ],
                "from": one.from_at,
                "publisher_sends_notices": one.publisher_sends_notices,
                "created_at": one.created_at,
                "ended_at": one.ended_at,
                "counts": [
                    ChangeCountOut(status=status, reason=reason, count=count)
                    for (status, reason), count in sorted(found.counts.items(), key=str)
                ],
            }
        )


class PriceMigrationsOut(ApiModel):
    """A page of price migrations, newest first. ``next`` is the cursor of the next page, or null."""

    data: list[PriceMigrationOut]
    next: str | None = Field(examples=[None])


class PriceChangeOut(ApiModel):
    """What happens to the price of a subscription."""

    id: str = Field(examples=["pcg_0c5e"])
    subscription: str | None = Field(description="null if it is not one of ours.", examples=["scr_0c5e"])
    subscriber: str | None = Field(examples=["rdr_0c5e"])
    stripe_id: str = Field(examples=["sub_1Rabc"])
    status: PriceChangeStatus = Field(examples=["announced"])
    reason: KeptPriceReason | None = Field(description="Why it keeps its price; else null.", examples=[None])
    before: MoneyOut | None = Field(description="The changed items now, before discounts and tax.")
    after: MoneyOut | None = Field(description="The changed items at the new price, before discounts and tax.")
    renewal_at: datetime | None = Field(
        description="The first renewal at the new price.", examples=["2027-03-01T18:00:00Z"]
    )
    total: MoneyOut | None = Field(
        description="What the reader was told that this renewal costs, with discounts and tax; null before."
    )
    announced_at: datetime | None = Field(examples=["2027-02-01T18:00:00Z"])

    @classmethod
    def of(cls, one: PriceChange) -> "PriceChangeOut":
        """Return the body for a change."""

        def money(amount: int) -> MoneyOut:
            return MoneyOut(amount=amount, currency=one.currency)

        return cls(
            id=one.id,
            subscription=one.subscription_id,
            subscriber=one.subscriber_id,
            stripe_id=one.stripe_id,
            status=one.status,
            reason=one.reason,
            before=money(one.before) if one.items else None,
            after=money(one.after) if one.items else None,
            renewal_at=one.renewal_at,
            total=money(one.quote.total) if one.quote else None,
            announced_at=one.announced_at,
        )


class PriceChangesOut(ApiModel):
    """A page of the subscriptions of a price migration. ``next`` is the cursor of the next page, or null."""

    data: list[PriceChangeOut]
    next: str | None = Field(examples=[None])


@router.get("", responses=problems(BadCursor))
async def list_price_migrations(_: Admin, ctx: Ctx, limit: Limit = 50, after: Cursor = None) -> PriceMigrationsOut:
    """List the price migrations, newest first."""
    page = await price_migrations.page(ctx, after=after, limit=limit)
    return PriceMigrationsOut(data=[PriceMigrationOut.of(one) for one in page.items], next=page.next)


@router.get("/{migration_id}", responses=problems(NotFound))
async def get_price_migration(migration_id: str, _: Admin, ctx: Ctx) -> PriceMigrationOut:
    """Return a price migration."""
    return PriceMigrationOut.of(await price_migrations.progress(ctx, migration_id))


@router.get("/{migration_id}/changes", responses=problems(NotFound))
async def list_price_changes(
    migration_id: str,
    _: Admin,
    ctx: Ctx,
    status: Annotated[ChangeStatus | None, Query(description="Only those in this status.")] = None,
    limit: Limit = 50,
    after: Cursor = None,
) -> PriceChangesOut:
    """List the subscriptions of a price migration, and what happens to the price of each."""
    page = await price_migrations.changes(ctx, migration_id, status=status, after=after, limit=limit)
    return PriceChangesOut(data=[PriceChangeOut.of(one) for one in page.items], next=page.next)


@router.post("/{migration_id}/stop", responses=problems(NotFound, MigrationNotRunning))
async def stop_price_migration(migration_id: str, admin: Admin, ctx: Ctx, now: Now) -> PriceMigrationOut:
    """
    Stop a price migration. Subscriptions that don't have the new price yet keep theirs.

    Subscriptions that have it already, which is at most three days before their renewal, renew at it.
    """
    return PriceMigrationOut.of(await price_migrations.stop(ctx, migration_id, by=admin.actor, now=now))
