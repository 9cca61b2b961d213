"""``/v1/support/anomalies``: what is out of order at Stripe, and staff have to look at."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.api.deps import Ctx, SupportAgent
from app.api.openapi import Described
from app.domain.anomalies import Anomaly
from app.services import anomalies

router = APIRouter(prefix="/v1/support/anomalies", tags=["support"], route_class=Described)

ANOMALY_EXAMPLE: JsonDict = {
    "object": "sub_123",
    "code": "quantity",
    "reason": "40 of digital: a subscription is for one reader, who has it once whatever is paid",
    "subscriber": "rdr_0c5e",
    "seen_at": "2026-03-01T18:00:00Z",
}


class AnomalyOut(BaseModel):
    """Something out of order: kept with the reason, and not guessed at. It goes when it is in order again."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANOMALY_EXAMPLE]})

    object: str = Field(description="Stripe's id of what it is about")
    code: str
    reason: str
    subscriber: str | None = Field(description="null: nobody we know")
    seen_at: datetime

    @classmethod
    def of(cls, found: Anomaly) -> "AnomalyOut":
        """Show what is out of order."""
        return cls(
            object=found.object_id,
            code=found.code,
            reason=found.reason,
            subscriber=found.subscriber_id,
            seen_at=found.seen_at,
        )


class AnomaliesOut(BaseModel):
    """A list, and where it goes on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [ANOMALY_EXAMPLE], "next": None}]})

    data: list[AnomalyOut]
    next: str | None


@router.get("")
async def list_anomalies(
    _: SupportAgent,
    ctx: Ctx,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AnomaliesOut:
    """List what is out of order at Stripe: states that cannot be, subscriptions of nobody, two plans in one, quantities."""
    found, following = await anomalies.every(ctx, after=after, limit=limit)
    return AnomaliesOut(data=[AnomalyOut.of(one) for one in found], next=following)
