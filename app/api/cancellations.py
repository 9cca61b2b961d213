"""``/v1/support/subscriptions/{id}/cancel`` and ``…/resume``: staff end a subscription for its reader, or have it go on."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import Ctx, Now, SupportAgent
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.audit import in_one
from app.domain.cancellations import CancelReason, ResumeReason
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.domain.subscriptions import AlreadyEnded
from app.services import cancellations, support
from app.services.support import SubscriptionOf

router = APIRouter(prefix="/v1/support/subscriptions", tags=["support"], route_class=Described)

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), STORABLE]


class CancellationIn(ApiModel):
    """``period_end``: access stays for what is paid. ``now``: it ends at once, and nothing is refunded by itself."""

    model_config = ConfigDict(extra="forbid")

    when: Literal["period_end", "now"] = Field(examples=["period_end"])
    reason: CancelReason = Field(examples=["requested_by_reader"])
    note: Note | None = Field(default=None, examples=["Asked by telephone."])


class ResumptionIn(ApiModel):
    """Why it shall go on."""

    model_config = ConfigDict(extra="forbid")

    reason: ResumeReason = Field(examples=["cancelled_by_mistake"])
    note: Note | None = None


class EndingOut(ApiModel):
    """Whether and when a subscription ends, as things stand now. ``subscriber`` is the identity provider's ``sub``."""

    id: str = Field(examples=["scr_0c5e"])
    subscriber: str = Field(examples=["user-1"])
    status: str = Field(examples=["active"])
    current_period_end: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    cancel_at: datetime | None = Field(
        description="when it is to end; null: it renews, or is over", examples=["2027-03-01T18:00:00Z"]
    )
    ended_at: datetime | None = Field(examples=[None])
    ended_by: str | None = Field(
        description="what ended it: cancel_now, a refund's basis; null: Stripe, or nothing", examples=[None]
    )

    @classmethod
    def of(cls, found: SubscriptionOf) -> "EndingOut":
        """Show how a subscription stands."""
        held = found.subscription
        return cls(
            id=held.id,
            subscriber=found.subscriber.sub,
            status=held.effective_status,
            current_period_end=held.current_period_end,
            cancel_at=held.cancel_at if held.is_live else None,
            ended_at=held.over_at,
            ended_by=held.ended_by,
        )


@router.post("/{subscription_id}/cancel", responses=problems(NotFound, AlreadyEnded, StripeRefused, StripeUnavailable))
async def cancel_for_reader(
    subscription_id: str, body: CancellationIn, agent: SupportAgent, ctx: Ctx, now: Now
) -> EndingOut:
    """End a subscription for its reader. Asked twice to end with what is paid, it counts once."""
    found = await support.subscription(ctx, subscription_id)
    sub = found.subscriber.sub
    reason, by = in_one(body.reason, body.note), agent.actor
    if body.when == "now":
        await cancellations.cancel_now(ctx, sub, reason=reason, by=by, only=subscription_id, now=now)
    else:
        await cancellations.cancel_at_period_end(
            ctx, sub, reason=reason, comment=None, by=by, only=subscription_id, now=now
        )
    return EndingOut.of(await support.subscription(ctx, subscription_id))


@router.post("/{subscription_id}/resume", responses=problems(NotFound, AlreadyEnded, StripeRefused, StripeUnavailable))
async def resume_for_reader(
    subscription_id: str, body: ResumptionIn, agent: SupportAgent, ctx: Ctx, now: Now
) -> EndingOut:
    """Have a subscription go on that was to end. One that is to renew anyway just stays so."""
    found = await support.subscription(ctx, subscription_id)
    sub = found.subscriber.sub
    reason = in_one(body.reason, body.note)
    await cancellations.resume(ctx, sub, reason=reason, by=agent.actor, only=subscription_id, now=now)
    return EndingOut.of(await support.subscription(ctx, subscription_id))
