"""``/v1/support/subscriptions/{id}/cancel`` and ``…/resume``: cancel or resume a subscription for a reader."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, Now, RecentSupportAgent, SupportAgent, seen_by
from app.api.listed_values import EndedBy, SubscriptionStatusText
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.audit import join_reason
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.domain.reasons import CancelReason, ResumeReason
from app.domain.subscriptions import AlreadyEnded
from app.services import cancellations, support
from app.services.support import SubscriptionWithSubscriber

router = APIRouter(prefix="/v1/support/subscriptions", tags=["support"], route_class=Described)

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), STORABLE]


class CancellationIn(ApiModel):
    """``period_end``: access lasts until the end of the paid period. ``now``: it ends immediately, without a refund."""

    model_config = ConfigDict(extra="forbid")

    when: Literal["period_end", "now"] = Field(examples=["period_end"])
    reason: CancelReason = Field(examples=["requested_by_reader"])
    note: Note | None = Field(default=None, examples=["Asked by telephone."])


class ResumptionIn(ApiModel):
    """Why the subscription is resumed."""

    model_config = ConfigDict(extra="forbid")

    reason: ResumeReason = Field(examples=["cancelled_by_mistake"])
    note: Note | None = None


class SubscriptionEndOut(ApiModel):
    """Whether and when a subscription ends. ``subscriber`` is the identity provider's ``sub``."""

    id: str = Field(examples=["scr_0c5e"])
    subscriber: str = Field(examples=["user-1"])
    status: SubscriptionStatusText = Field(examples=["active"])
    current_period_end: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    cancel_at: datetime | None = Field(
        description="When the subscription will end; null if it renews or has ended.", examples=["2027-03-01T18:00:00Z"]
    )
    ended_at: datetime | None = Field(examples=[None])
    ended_by: EndedBy | None = Field(
        description="What ended it: `cancel_now`, `not_renewed` (canceled while the current period was not paid) or a "
        "refund's basis; null if it has not ended, or Stripe ended it.",
        examples=[None],
    )

    @classmethod
    def of(cls, found: SubscriptionWithSubscriber) -> "SubscriptionEndOut":
        """Return the body for a subscription's end."""
        subscription = found.subscription
        return cls(
            id=subscription.id,
            subscriber=found.subscriber.sub,
            status=subscription.effective_status,
            current_period_end=subscription.current_period_end,
            cancel_at=subscription.cancel_at if subscription.can_be_canceled else None,
            ended_at=subscription.over_at,
            ended_by=subscription.ended_by,
        )


@router.post(
    "/{subscription_id}/cancel",
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, AlreadyEnded, StripeRefused, StripeUnavailable),
)
async def cancel_for_reader(
    subscription_id: str, body: CancellationIn, agent: SupportAgent, ctx: Ctx, now: Now
) -> SubscriptionEndOut:
    """Cancel a reader's subscription. Scheduling the same cancellation twice has no further effect."""
    found = await support.subscription(ctx, subscription_id, viewer=seen_by(agent))
    sub = found.subscriber.sub
    reason, by = join_reason(body.reason, body.note), agent.actor
    if body.when == "now":
        await cancellations.cancel_now(ctx, sub, reason=reason, by=by, only=subscription_id, now=now)
    else:
        await cancellations.cancel_at_period_end(
            ctx, sub, reason=reason, comment=None, by=by, only=subscription_id, now=now
        )
    return SubscriptionEndOut.of(await support.subscription(ctx, subscription_id, viewer=seen_by(agent)))


@router.post(
    "/{subscription_id}/resume",
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, AlreadyEnded, StripeRefused, StripeUnavailable),
)
async def resume_for_reader(
    subscription_id: str, body: ResumptionIn, agent: RecentSupportAgent, ctx: Ctx, now: Now
) -> SubscriptionEndOut:
    """Resume the subscription. A subscription that already renews is left unchanged."""
    found = await support.subscription(ctx, subscription_id, viewer=seen_by(agent))
    sub = found.subscriber.sub
    reason = join_reason(body.reason, body.note)
    await cancellations.resume(ctx, sub, reason=reason, by=agent.actor, only=subscription_id, now=now)
    return SubscriptionEndOut.of(await support.subscription(ctx, subscription_id, viewer=seen_by(agent)))
