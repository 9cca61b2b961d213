"""``/v1/revocations``: the feed that lets an edge refuse at once, before a token dies by itself."""

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
    """Tokens of this subscriber whose ``version`` is below this one no longer hold."""

    subscriber: str = Field(examples=["user-1"])
    version: int = Field(examples=[3])
    at: datetime = Field(examples=["2026-03-08T18:00:00Z"])


class RevocationsOut(ApiModel):
    """What came, in its order, and what to ask for next."""

    data: list[RevocationOut]
    next: str = Field(description="Ask with `since` this next.", examples=["17"])

    @classmethod
    def of(cls, feed: Feed) -> "RevocationsOut":
        """Show what came."""
        shown = [RevocationOut(subscriber=one.sub, version=one.version, at=one.at) for one in feed.found]
        return cls(data=shown, next=str(feed.next))


@router.get("/v1/revocations")
async def follow_revocations(
    _: EntitlementReader,
    ctx: Ctx,
    api: Api,
    since: Annotated[int, Query(ge=0, lt=2**63, description="`next` of the last answer; at first 0: all living.")] = 0,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait when there is nothing.")] = 0,
) -> RevocationsOut:
    """Tell whose access shrank, and wait for it if asked to: for servers that remember tokens or answers."""
    return RevocationsOut.of(await revocations.since(ctx, since, wait=api.wait_for_revocations(wait)))
