"""``/v1/revocations``: the feed with which edge servers deny access before a token expires."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import Api, Ctx, EntitlementReader
from app.api.models import ApiModel
from app.api.openapi import Described
from app.services import revocations
from app.services.revocations import Feed

router = APIRouter(tags=["entitlements"], route_class=Described)
LONGEST_WAIT = 30  # seconds


class RevocationOut(ApiModel):
    """Tokens of this subscriber with a lower ``version`` are no longer valid."""

    subscriber: str = Field(examples=["user-1"])
    version: int = Field(examples=[3])
    at: datetime = Field(examples=["2026-03-08T18:00:00Z"])


class RevocationsOut(ApiModel):
    """Revocations in order, and the cursor for the next request."""

    data: list[RevocationOut]
    next: str = Field(description="Pass this as `since` in the next request.", examples=["17"])

    @classmethod
    def of(cls, feed: Feed) -> "RevocationsOut":
        """Return the body for a page of the feed."""
        shown = [RevocationOut(subscriber=one.sub, version=one.version, at=one.at) for one in feed.items]
        return cls(data=shown, next=str(feed.next))


@router.get("/v1/revocations")
async def follow_revocations(
    _: EntitlementReader,
    ctx: Ctx,
    api: Api,
    since: Annotated[
        int, Query(ge=0, lt=2**63, description="`next` of the last response. 0 returns all current revocations.")
    ] = 0,
    wait: Annotated[
        int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a revocation if there is none.")
    ] = 0,
) -> RevocationsOut:
    """List revocations (long polling). For servers that cache tokens or answers."""
    return RevocationsOut.of(await revocations.since(ctx, since, wait=api.wait_for_revocations(wait)))
