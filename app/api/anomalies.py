"""``/v1/support/anomalies``: unusual states at Stripe that staff need to check."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import Ctx, SupportAgent
from app.api.models import ApiModel
from app.api.openapi import Described
from app.domain.anomalies import Anomaly
from app.services import anomalies

router = APIRouter(prefix="/v1/support/anomalies", tags=["support"], route_class=Described)


class AnomalyOut(ApiModel):
    """An unusual state of an object at Stripe. It disappears from the list once it is resolved."""

    object: str = Field(description="ID of the Stripe object.", examples=["sub_123"])
    code: str = Field(examples=["quantity"])
    reason: str = Field(examples=["The quantity is not 1 (digital: 40). A subscription is for one reader."])
    subscriber: str | None = Field(description="null if the subscriber is unknown.", examples=["rdr_0c5e"])
    seen_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])

    @classmethod
    def of(cls, found: Anomaly) -> "AnomalyOut":
        """Return the body for an anomaly."""
        return cls(
            object=found.object_id,
            code=found.code,
            reason=found.reason,
            subscriber=found.subscriber_id,
            seen_at=found.seen_at,
        )


class AnomaliesOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[AnomalyOut]
    next: str | None = Field(examples=[None])


@router.get("")
async def list_anomalies(
    _: SupportAgent,
    ctx: Ctx,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AnomaliesOut:
    """List anomalies at Stripe: impossible states, subscriptions without a reader, several plans in one, quantities."""
    page = await anomalies.page(ctx, after=after, limit=limit)
    return AnomaliesOut(data=[AnomalyOut.of(one) for one in page.items], next=page.next)
