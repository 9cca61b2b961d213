"""``/v1/reports/liability``: what is owed to readers in money."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, StringConstraints
from starlette.responses import Response

from app.api.deps import Ctx, Now, RecentFinance, ReportViewer
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.context import Context
from app.db.liability import Closing, SubscriptionMovement
from app.domain.liability import (
    InvalidReportDate,
    MonthClosed,
    MonthNotOver,
    MonthOutOfOrder,
    MonthTooEarly,
    Movement,
    parse_month,
    report_day,
)
from app.services import liability
from app.services.liability import Report

router = APIRouter(prefix="/v1/reports/liability", tags=["reports"], route_class=Described)

At = Annotated[
    Day | None, Query(description="The last day of the report, in the publisher's time zone. Default: today.")
]
Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
OfMonth = Annotated[Month | None, Query(description="A month instead, such as `2026-03`.")]
CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each subscription and currency",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "subscription,currency,opening,sales,earned,earned_reversed,refunds,closing\r\n"
                "scr_0c5e,usd,0,7300,304,0,0,6996",
            }
        },
    }
}


class MovementOut(ApiModel):
    """
    Amounts in minor units of the currency, without tax.

    ``opening`` + ``sales`` - ``earned`` + ``earned_reversed`` - ``refunds`` = ``closing``.
    """

    model_config = ConfigDict(from_attributes=True)

    currency: str = Field(min_length=3, max_length=3, examples=["usd"])
    opening: int = Field(description="Owed before the first day.", examples=[0])
    sales: int = Field(description="Paid.", examples=[7300])
    earned: int = Field(description="Delivered, for what was paid now or earlier.", examples=[304])
    earned_reversed: int = Field(description="Earned, and then refunded.", examples=[0])
    refunds: int = Field(description="Refunds, lost disputes and credits.", examples=[0])
    closing: int = Field(description="Owed after the last day. Never negative.", examples=[6996])

    @classmethod
    def of(cls, currency: str, found: Movement) -> "MovementOut":
        """Return the body for the figures of a currency."""
        return cls(
            currency=currency,
            opening=found.opening,
            sales=found.sales,
            earned=found.earned,
            earned_reversed=found.earned_reversed,
            refunds=found.refunds,
            closing=found.closing,
        )


class LiabilityOut(ApiModel):
    """What happened to what is owed, from the first day of a month until a day, by currency."""

    since: date = Field(examples=["2026-03-01"])
    through: date = Field(examples=["2026-03-31"])
    closed_at: datetime | None = Field(
        description="When the month was closed. Since then its figures are final. null: they are as known now.",
        examples=[None],
    )
    currencies: list[MovementOut]

    @classmethod
    def of(cls, found: Report) -> "LiabilityOut":
        """Return the body for a report."""
        return cls(
            since=found.since,
            through=found.through,
            closed_at=found.closed_at.astimezone(UTC) if found.closed_at is not None else None,
            currencies=[MovementOut.of(currency, one) for currency, one in found.movements.items()],
        )


class SubscriptionMovementOut(MovementOut):
    """The figures of a subscription."""

    subscription: str = Field(examples=["scr_0c5e"])

    @classmethod
    def of_subscription(cls, found: SubscriptionMovement) -> "SubscriptionMovementOut":
        """Return the body for a subscription."""
        return cls(
            subscription=found.subscription, **MovementOut.of(found.currency, found.movement).model_dump(mode="python")
        )


class SubscriptionMovementsOut(ApiModel):
    """
    A page of the subscriptions that a report consists of. ``next`` is the cursor of the next page, or null.

    Subscriptions to which nothing is owed and nothing happened are left out, so a page may be short or empty.
    """

    data: list[SubscriptionMovementOut]
    next: str | None = Field(examples=[None])


class ClosingIn(ApiModel):
    """The month to close."""

    model_config = ConfigDict(extra="forbid")

    month: Month = Field(examples=["2026-03"])


class OwedOut(ApiModel):
    """The liability in one currency, in minor units and without tax."""

    currency: str = Field(examples=["usd"])
    amount: int = Field(examples=[6996])


class ClosingOut(ApiModel):
    """A closed month, with what was owed at its end."""

    month: str = Field(examples=["2026-03"])
    closed_at: datetime = Field(examples=["2026-04-02T15:00:00Z"])
    closed_by: str = Field(examples=["staff:finance-1"])
    owed: list[OwedOut]

    @classmethod
    def of(cls, closing: Closing) -> "ClosingOut":
        """Return the body for a closed month."""
        return cls(
            month=f"{closing.month:%Y-%m}",
            closed_at=closing.closed_at.astimezone(UTC),
            closed_by=closing.closed_by,
            owed=[
                OwedOut(currency=currency, amount=totals.owed) for currency, totals in sorted(closing.totals.items())
            ],
        )


class ClosingsOut(ApiModel):
    """The closed months, in order. The first one has what was owed before the first month of the books."""

    data: list[ClosingOut]


def _day(ctx: Context, at: date | None, month: str | None, now: datetime) -> date:
    return report_day(at=at, month=month, today=now.astimezone(ctx.rules.zone).date())


@router.get("", responses=problems(InvalidReportDate))
async def show_liability(_: ReportViewer, ctx: Ctx, now: Now, at: At = None, month: OfMonth = None) -> LiabilityOut:
    """Show the liability report of a month, or of the days of a month until a day."""
    return LiabilityOut.of(await liability.report(ctx, _day(ctx, at, month, now)))


@router.get("/subscriptions", responses=problems(InvalidReportDate))
async def list_liability_subscriptions(
    _: ReportViewer,
    ctx: Ctx,
    now: Now,
    at: At = None,
    month: OfMonth = None,
    after: Annotated[str, Query(max_length=100, description="`next` of the previous page."), STORABLE] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> SubscriptionMovementsOut:
    """List the subscriptions that the liability report consists of."""
    page = await liability.subscriptions(ctx, _day(ctx, at, month, now), after=after, limit=limit)
    return SubscriptionMovementsOut(
        data=[SubscriptionMovementOut.of_subscription(one) for one in page.items], next=page.next
    )


@router.get("/subscriptions.csv", response_class=Response, responses=CSV | problems(InvalidReportDate))
async def download_liability_subscriptions(
    caller: ReportViewer, ctx: Ctx, now: Now, at: At = None, month: OfMonth = None
) -> StreamingResponse:
    """Download the subscriptions that the liability report consists of, as CSV. Every download is recorded."""
    through = _day(ctx, at, month, now)
    return StreamingResponse(
        await liability.csv(ctx, through, by=caller.actor),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="liability-{through}.csv"'},
    )


@router.get("/closings")
async def list_liability_closings(_: ReportViewer, ctx: Ctx) -> ClosingsOut:
    """List the closed months."""
    return ClosingsOut(data=[ClosingOut.of(one) for one in await liability.closings(ctx)])


@router.post(
    "/closings",
    status_code=201,
    responses=problems(InvalidReportDate, MonthNotOver, MonthClosed, MonthOutOfOrder, MonthTooEarly),
)
async def close_liability_month(body: ClosingIn, person: RecentFinance, ctx: Ctx, now: Now) -> ClosingOut:
    """Close a month. Its figures are final, and what becomes known later appears in the next month."""
    return ClosingOut.of(await liability.close(ctx, parse_month(body.month), by=person.actor, now=now))
