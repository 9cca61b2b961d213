"""``/v1/me/holds`` and ``/v1/support/subscribers/{id}/holds``: no copies for a while, such as during a vacation."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from app.api.deps import CopyAgent, Ctx, CurrentReader, Now, OptionalIdempotencyKey, seen_by
from app.api.keyed import answer_once
from app.api.models import ApiModel, Day
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.holds import (
    Hold,
    HoldDatesWrong,
    HoldIsOver,
    HoldOverlaps,
    HoldStatus,
    HoldTooLong,
    NoCopiesToHold,
    TooManyHolds,
)
from app.services import holds
from app.services.holds import ShownHold
from app.services.idempotency import KeyInUse, KeyInvalid, KeyReused

router = APIRouter(prefix="/v1", route_class=Described)
REFUSALS = problems(
    NoCopiesToHold, HoldDatesWrong, HoldTooLong, HoldOverlaps, TooManyHolds, KeyInvalid, KeyReused, KeyInUse
)


class HoldIn(ApiModel):
    """From when no copies are sent, and either until when or how many issues."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    starts_on: Day = Field(
        alias="from",
        description="The first day. Issues whose label cut-off is on or after it are held.",
        examples=["2026-07-01"],
    )
    until: Day | None = Field(
        default=None,
        description="The day from which copies are sent again. Issues with an earlier label cut-off are held.",
        examples=["2026-08-15"],
    )
    issues: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = Field(
        default=None, description="How many issues are held, instead of `until`.", examples=[None]
    )

    def to_hold(self) -> Hold:
        """Return the hold."""
        return Hold(starts_on=self.starts_on, until=self.until, issues=self.issues)


class HoldOut(ApiModel):
    """A time without copies. The term still owes the issues held, and sends them later."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(examples=["hld_0c5e"])
    status: HoldStatus = Field(description="`planned`, `running` or `over`.", examples=["planned"])
    starts_on: date = Field(alias="from", examples=["2026-07-01"])
    until: date | None = Field(description="The day from which copies are sent again.", examples=["2026-08-15"])
    issues: int | None = Field(description="How many issues are held, if that was given.", examples=[None])
    held: list[int] = Field(description="The numbers of the issues on the calendar that are held.", examples=[[9, 10]])
    last_day: date | None = Field(
        description="null if the calendar has fewer issues than are held.", examples=["2026-08-14"]
    )
    digital_access: bool = Field(description="Whether digital access continues meanwhile.", examples=[True])
    lifted_on: date | None = Field(description="When it was lifted.", examples=[None])

    @classmethod
    def of(cls, shown: ShownHold) -> "HoldOut":
        """Return the body for a hold."""
        hold = shown.saved.hold
        return cls(
            id=shown.saved.id,
            status=shown.status,
            starts_on=hold.starts_on,
            until=hold.until,
            issues=hold.issues,
            held=list(shown.held),
            last_day=shown.last_day,
            digital_access=hold.keeps_digital,
            lifted_on=hold.ended_on,
        )


class HoldsOut(ApiModel):
    """A reader's holds, the latest first."""

    data: list[HoldOut]

    @classmethod
    def of(cls, found: Sequence[ShownHold]) -> "HoldsOut":
        """Return the body for a reader's holds."""
        return cls(data=[HoldOut.of(one) for one in found])


@router.get("/me/holds", tags=["subscription"])
async def list_my_holds(reader: CurrentReader, ctx: Ctx, now: Now) -> HoldsOut:
    """List the times in which I get no copies."""
    return HoldsOut.of(await holds.of_reader(ctx, reader.sub, now=now))


@router.post(
    "/me/holds",
    tags=["subscription"],
    status_code=201,
    response_model=HoldOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=REFUSALS,
)
async def hold_my_copies(
    body: HoldIn, request: Request, reader: CurrentReader, ctx: Ctx, now: Now, key: OptionalIdempotencyKey = None
) -> JSONResponse:
    """Get no copies for a while. The issues held are sent later."""

    async def hold(hold_id: str) -> tuple[int, dict[str, Any]]:
        made = await holds.add_own(ctx, reader.sub, body.to_hold(), hold_id=hold_id, now=now)
        return 201, HoldOut.of(made).model_dump(mode="json", by_alias=True)

    return await answer_once(ctx, request, hold, caller=reader.actor, key=key, prefix="hld")


@router.delete("/me/holds/{hold_id}", tags=["subscription"], responses=problems(NotFound, HoldIsOver))
async def lift_my_hold(hold_id: str, reader: CurrentReader, ctx: Ctx, now: Now) -> HoldOut:
    """Lift one of my holds. Issues whose label cut-off has passed stay held."""
    return HoldOut.of(await holds.lift_own(ctx, reader.sub, hold_id, now=now))


@router.get("/support/subscribers/{subscriber_id}/holds", tags=["support"], responses=problems(NotFound))
async def list_holds(subscriber_id: str, agent: CopyAgent, ctx: Ctx, now: Now) -> HoldsOut:
    """List the times in which a subscriber gets no copies."""
    return HoldsOut.of(await holds.of_subscriber(ctx, subscriber_id, viewer=seen_by(agent), now=now))


@router.post(
    "/support/subscribers/{subscriber_id}/holds",
    tags=["support"],
    status_code=201,
    response_model=HoldOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=REFUSALS | problems(NotFound),
)
async def hold_copies(
    subscriber_id: str,
    body: HoldIn,
    request: Request,
    agent: CopyAgent,
    ctx: Ctx,
    now: Now,
    key: OptionalIdempotencyKey = None,
) -> JSONResponse:
    """Send a subscriber no copies for a while. The issues held are sent later."""

    async def hold(hold_id: str) -> tuple[int, dict[str, Any]]:
        made = await holds.add(ctx, subscriber_id, body.to_hold(), hold_id=hold_id, by=agent.actor, now=now)
        return 201, HoldOut.of(made).model_dump(mode="json", by_alias=True)

    return await answer_once(ctx, request, hold, caller=agent.actor, key=key, prefix="hld")


@router.delete(
    "/support/subscribers/{subscriber_id}/holds/{hold_id}",
    tags=["support"],
    responses=problems(NotFound, HoldIsOver),
)
async def lift_hold(subscriber_id: str, hold_id: str, agent: CopyAgent, ctx: Ctx, now: Now) -> HoldOut:
    """Lift a subscriber's hold. Issues whose label cut-off has passed stay held."""
    return HoldOut.of(await holds.lift(ctx, subscriber_id, hold_id, by=agent.actor, now=now))
