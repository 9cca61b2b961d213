"""``/v1/support/approvals``: refunds, complimentary access, extensions, claims and back issues that need a second person."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from app.api.deps import CALLS_STRIPE, Ctx, IdempotencyKey, Now, RecentSupervisor, Supervisor, SupportAgent
from app.api.issued_refunds import NO_NOTE, RejectionIn
from app.api.listed_values import ApprovalStatusText
from app.api.models import ApiModel, MoneyOut
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.api.refunds import status_and_body
from app.context import Context
from app.domain.approvals import (
    ApprovalKind,
    ApprovalRequest,
    NotAwaitingApproval,
    OwnAccount,
    OwnRequest,
    PendingApproval,
    kind_of,
)
from app.domain.comps import CalendarTooShort, CompIsOver
from app.domain.errors import NotFound
from app.domain.refunds import (
    NothingToRefund,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    Refund,
    RefundInProgress,
    RefundsMissing,
)
from app.domain.subscriptions import AlreadyEnded
from app.services import approvals, back_issues, claims, comps, idempotency, issues, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused

router = APIRouter(prefix="/v1/support/approvals", tags=["approvals"], route_class=Described)


class ApprovalOut(ApiModel):
    """A request above the limit of one person, and the decision about it. Fields of other kinds are null."""

    id: str = Field(
        description="ID of the refund, the complimentary access, the extension, the claim or the back issue.",
        examples=["rfd_0c5e"],
    )
    kind: ApprovalKind = Field(examples=["refund"])
    status: ApprovalStatusText = Field(
        description="`awaiting_approval`, `approved` or `rejected`; of a decided refund, its own status.",
        examples=["awaiting_approval"],
    )
    subscriber: str = Field(description="ID of the reader who would get it.", examples=["rdr_0c5e"])
    payment: str | None = Field(description="For refunds.", examples=["pi_123"])
    amount: MoneyOut | None = Field(description="For refunds.")
    plan: str | None = Field(description="For complimentary access.", examples=[None])
    until: datetime | None = Field(description="For complimentary access.", examples=[None])
    days: int | None = Field(description="For complimentary access: what counts for the limit.", examples=[None])
    subscription: str | None = Field(description="For extensions, claims and back issues.", examples=[None])
    issues: int | None = Field(
        description="For extensions, and for complimentary access for a number of issues.", examples=[None]
    )
    reason: str = Field(examples=["copies_missing"])
    note: str | None = Field(examples=[None])
    requested_by: str = Field(examples=["staff:agent-1"])
    created_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    decided_by: str | None = Field(description="Who approved or rejected it.", examples=[None])
    decided_at: datetime | None = Field(examples=[None])

    @classmethod
    def of_refund(cls, refund: Refund) -> "ApprovalOut":
        """Return the body for a refund."""
        return cls(
            id=refund.id,
            kind=ApprovalKind.REFUND,
            status=refund.status,
            subscriber=refund.subscriber_id,
            payment=refund.payment_id,
            amount=MoneyOut.of(refund.money),
            plan=None,
            until=None,
            days=None,
            subscription=None,
            issues=None,
            reason=refund.reason,
            note=refund.note,
            requested_by=refund.requested_by,
            created_at=refund.created_at,
            decided_by=refund.decided_by,
            decided_at=refund.decided_at,
        )

    @classmethod
    def of_request(cls, request: ApprovalRequest) -> "ApprovalOut":
        """Return the body for a request other than a refund."""
        return cls(
            id=request.id,
            kind=ApprovalKind(request.kind),
            status=request.status,
            subscriber=request.subscriber_id,
            payment=None,
            amount=None,
            plan=request.plan,
            until=request.until,
            days=request.amount if request.kind == ApprovalKind.COMP else None,
            subscription=request.subscription_id,
            issues=request.issues,
            reason=request.reason,
            note=request.note,
            requested_by=request.requested_by,
            created_at=request.created_at,
            decided_by=request.decided_by,
            decided_at=request.decided_at,
        )

    @classmethod
    def of(cls, pending: PendingApproval) -> "ApprovalOut":
        """Return the body for a request of any kind."""
        if pending.refund is not None:
            return cls.of_refund(pending.refund)
        assert pending.request is not None
        return cls.of_request(pending.request)


class ApprovalsOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[ApprovalOut]
    next: str | None = Field(examples=[None])


UNANSWERED: dict[int | str, dict[str, Any]] = {
    202: {"model": ApprovalOut, "description": "Stripe has not answered the refund yet"}
}


@router.get("")
async def list_approvals(
    _: SupportAgent,
    ctx: Ctx,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ApprovalsOut:
    """List the requests that await approval, newest first."""
    page = await approvals.pending(ctx, after=after, limit=limit)
    return ApprovalsOut(data=[ApprovalOut.of(pending) for pending in page.items], next=page.next)


@router.get("/{request_id}", responses=problems(NotFound))
async def show_approval(request_id: str, _: SupportAgent, ctx: Ctx) -> ApprovalOut:
    """Retrieve a request for approval, open or decided."""
    if kind_of(request_id) == ApprovalKind.REFUND:
        return ApprovalOut.of_refund((await refunds.get(ctx, request_id))[0])
    return ApprovalOut.of_request(await approvals.get(ctx, request_id))


@router.post(
    "/{request_id}/approve",
    dependencies=[CALLS_STRIPE],
    status_code=201,
    response_model=ApprovalOut,
    openapi_extra=NEEDS_KEY,
    responses=UNANSWERED
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
        CompIsOver,
        CalendarTooShort,
        AlreadyEnded,
        KeyRequired,
        KeyInvalid,
        KeyReused,
        KeyInUse,
    ),
)
async def approve_request(
    request_id: str, request: Request, supervisor: RecentSupervisor, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Approve a request. What it gives is checked again first."""

    async def decide(chosen: str) -> tuple[int, dict[str, Any]]:
        return await _approve(ctx, chosen, by=supervisor.actor, now=now)

    answer = await idempotency.once(
        ctx,
        caller=supervisor.actor,
        route=f"{request.method} {request.url.path}",
        key=key,
        body=await request.body(),
        new_object_id=request_id,
        work=decide,
    )
    return JSONResponse(answer.body, answer.status)


async def _approve(ctx: Context, request_id: str, *, by: str, now: datetime) -> tuple[int, dict[str, Any]]:
    match kind_of(request_id):
        case ApprovalKind.REFUND:
            group = await refunds.approve(ctx, request_id, by=by, now=now)
            status, _ = status_and_body(group)
            return status, ApprovalOut.of_refund(group[0]).model_dump(mode="json")
        case ApprovalKind.COMP:
            await comps.approve(ctx, request_id, by=by, now=now)
        case ApprovalKind.EXTENSION:
            await issues.approve_extension(ctx, request_id, by=by, now=now)
        case ApprovalKind.CLAIM:
            await claims.approve(ctx, request_id, by=by, now=now)
        case ApprovalKind.BACK_ISSUE:
            await back_issues.approve(ctx, request_id, by=by, now=now)
    return 201, ApprovalOut.of_request(await approvals.get(ctx, request_id)).model_dump(mode="json")


@router.post("/{request_id}/reject", responses=problems(NotFound, OwnRequest, OwnAccount, NotAwaitingApproval))
async def reject_request(
    request_id: str, supervisor: Supervisor, ctx: Ctx, now: Now, body: RejectionIn = NO_NOTE
) -> ApprovalOut:
    """Reject a request. A refund's reserved amount becomes available again."""
    by, note = supervisor.actor, body.note
    if kind_of(request_id) == ApprovalKind.REFUND:
        return ApprovalOut.of_refund(await refunds.reject(ctx, request_id, by=by, note=note, now=now))
    return ApprovalOut.of_request(await approvals.reject(ctx, request_id, by=by, note=note, now=now))
