"""``/v1/support/back-issues``: earlier issues that the desk sends."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CopyAgent, Ctx, Now, OptionalIdempotencyKey, RecentCopyAgent, seen_by
from app.api.keyed import answer_once
from app.api.models import STORABLE, ApiModel
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.domain.approvals import OwnAccount
from app.domain.back_issues import BackIssue, BackIssueStatus, IssueNotMailed
from app.domain.errors import NotFound
from app.domain.issues import LARGEST_NUMBER
from app.services import back_issues
from app.services.idempotency import KeyInUse, KeyInvalid, KeyReused

router = APIRouter(prefix="/v1/support/back-issues", tags=["support"], route_class=Described)


class BackIssueIn(ApiModel):
    """An earlier issue, and the subscription of the reader who gets it."""

    model_config = ConfigDict(extra="forbid")

    subscription: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] = Field(
        examples=["scr_0c5e"]
    )
    issue: Annotated[int, Field(ge=1, le=LARGEST_NUMBER, strict=True)] = Field(
        description="The number of an issue that was mailed.", examples=[7]
    )
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), STORABLE] | None = Field(
        default=None, examples=[None]
    )


class BackIssueOut(ApiModel):
    """An ordered back issue. It is sent with the next supplement of the issue, to the address that is valid then."""

    id: str = Field(examples=["bki_0c5e"])
    status: BackIssueStatus = Field(
        description="`ordered`, `sent`, `awaiting_approval` and `rejected` above the limit, or `canceled` if the reader was "
        "erased before it was sent.",
        examples=["ordered"],
    )
    subscriber: str = Field(examples=["rdr_0c5e"])
    subscription: str = Field(examples=["scr_0c5e"])
    issue: int = Field(examples=[7])
    note: str | None = Field(examples=[None])
    ordered_by: str = Field(examples=["staff:agent-1"])
    created_at: datetime = Field(examples=["2026-09-08T18:00:00Z"])
    supplement: int | None = Field(description="The number of the supplement with the copy.", examples=[None])

    @classmethod
    def of(cls, ordered: BackIssue) -> "BackIssueOut":
        """Return the body for an order."""
        return cls(
            id=ordered.id,
            status=ordered.status,
            subscriber=ordered.subscriber_id,
            subscription=ordered.subscription_id,
            issue=ordered.issue_number,
            note=ordered.note,
            ordered_by=ordered.ordered_by,
            created_at=ordered.created_at,
            supplement=ordered.supplement,
        )


class BackIssuesOut(ApiModel):
    """A page of orders. ``next`` is the cursor of the next page, or null."""

    data: list[BackIssueOut]
    next: str | None = Field(examples=[None])


AWAITING_APPROVAL: dict[int | str, dict[str, Any]] = {
    202: {"model": BackIssueOut, "description": "Above the limit: a second person must approve it"}
}


@router.get("")
async def list_back_issues(
    agent: CopyAgent,
    ctx: Ctx,
    subscriber: Annotated[str | None, Query(max_length=100, description="ID of the reader."), STORABLE] = None,
    issue: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER)] = None,
    after: Annotated[str | None, Query(max_length=100, description="`next` of the previous page."), STORABLE] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BackIssuesOut:
    """List the ordered back issues, the newest first."""
    page = await back_issues.page(
        ctx, subscriber_id=subscriber, issue_number=issue, viewer=seen_by(agent), after=after, limit=limit
    )
    return BackIssuesOut(data=[BackIssueOut.of(one) for one in page.items], next=page.next)


@router.post(
    "",
    status_code=201,
    response_model=BackIssueOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=AWAITING_APPROVAL | problems(NotFound, IssueNotMailed, OwnAccount, KeyInvalid, KeyReused, KeyInUse),
)
async def order_back_issue(
    body: BackIssueIn, request: Request, agent: RecentCopyAgent, ctx: Ctx, now: Now, key: OptionalIdempotencyKey = None
) -> JSONResponse:
    """Order an earlier issue for a reader. With an Idempotency-Key, at most once for that key."""

    async def order(order_id: str) -> tuple[int, dict[str, Any]]:
        ordered = await back_issues.order(
            ctx, body.subscription, body.issue, order_id=order_id, note=body.note or None, by=agent.actor, now=now
        )
        status = 202 if ordered.status == BackIssueStatus.AWAITING_APPROVAL else 201
        return status, BackIssueOut.of(ordered).model_dump(mode="json")

    return await answer_once(ctx, request, order, caller=agent.actor, key=key, prefix="bki")
