"""``/v1/support/refunds``: list refunds, and approve or reject those that need a second person (see :mod:`.approvals`)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, IdempotencyKey, Now, RecentSupervisor, RefundViewer, Supervisor
from app.api.models import STORABLE, ApiModel
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.api.refunds import PROCESSING_ANSWER, RefundOut, RefundResultOut, status_and_body
from app.domain.approvals import NotAwaitingApproval, OwnAccount, OwnRequest
from app.domain.errors import NotFound
from app.domain.refunds import (
    NothingToRefund,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    RefundInProgress,
    RefundsMissing,
)
from app.services import idempotency, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused

router = APIRouter(prefix="/v1/support/refunds", tags=["refunds"], route_class=Described)

Status = Literal[
    "awaiting_approval",
    "rejected",
    "withdrawn",
    "processing",
    "pending",
    "requires_action",
    "succeeded",
    "failed",
    "canceled",
]


class RefundsOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[RefundOut]
    next: str | None = Field(examples=["rfd_0c5e"])


class RejectionIn(ApiModel):
    """An optional note on why the request is rejected."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), STORABLE] | None = Field(
        default=None, examples=["Was credited by phone."]
    )


NO_NOTE = RejectionIn()


@router.get("")
async def list_refunds(
    _: RefundViewer,
    ctx: Ctx,
    status: Annotated[Status | None, Query(description="Only refunds with this status.")] = None,
    attention: Annotated[bool, Query(description="Only refunds that need attention.")] = False,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> RefundsOut:
    """List refunds, newest first."""
    page = await refunds.page(ctx, status=status, attention=attention, after=after, limit=limit)
    return RefundsOut(data=[RefundOut.of(found) for found in page.items], next=page.next)


@router.get("/{refund_id}", responses=problems(NotFound))
async def show_refund(refund_id: str, _: RefundViewer, ctx: Ctx) -> RefundResultOut:
    """Retrieve a refund, with all refunds of the same request."""
    return RefundResultOut.all_of(await refunds.get(ctx, refund_id))


@router.post(
    "/{refund_id}/approve",
    dependencies=[CALLS_STRIPE],
    status_code=201,
    response_model=RefundResultOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NotFound,
        OwnRequest,
        OwnAccount,
        NotAwaitingApproval,
        QuoteChanged,
        NothingToRefund,
        PaidOutsideStripe,
        PaymentDisputed,
        RefundInProgress,
        RefundsMissing,
        KeyRequired,
        KeyInvalid,
        KeyReused,
        KeyInUse,
    ),
)
async def approve_refund(
    refund_id: str, request: Request, supervisor: RecentSupervisor, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Approve a refund. The amount is quoted again before it is paid."""

    async def decide(chosen: str) -> tuple[int, dict[str, Any]]:
        return status_and_body(await refunds.approve(ctx, chosen, by=supervisor.actor, now=now))

    answer = await idempotency.once(
        ctx,
        caller=supervisor.actor,
        route=f"{request.method} {request.url.path}",
        key=key,
        body=await request.body(),
        new_object_id=refund_id,
        work=decide,
    )
    return JSONResponse(answer.body, answer.status)


@router.post("/{refund_id}/reject", responses=problems(NotFound, OwnRequest, OwnAccount, NotAwaitingApproval))
async def reject_refund(
    refund_id: str, supervisor: Supervisor, ctx: Ctx, now: Now, body: RejectionIn = NO_NOTE
) -> RefundOut:
    """Reject a refund. The reserved amount becomes available again."""
    return RefundOut.of(await refunds.reject(ctx, refund_id, by=supervisor.actor, note=body.note, now=now))
