"""``/v1/support/disputes`` and ``/v1/support/attention``: disputes, and items that need a decision by staff."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.api.deps import Ctx, Now, SupportAgent
from app.api.listed_values import AttentionKind, DisputeConcernText, DisputeStatus
from app.api.models import STORABLE, ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.db.attention import Item
from app.domain.disputes import Dispute, effect_of
from app.domain.errors import NotFound
from app.services import attention, disputes

router = APIRouter(prefix="/v1/support", tags=["support"], route_class=Described)


class DisputeOut(ApiModel):
    """A dispute of a payment. Submit evidence in Stripe's Dashboard before ``due_by``."""

    id: str = Field(examples=["dp_123"])
    payment: str | None = Field(examples=["pi_123"])
    subscriber: str | None = Field(
        description="ID of the subscriber; null if the payment does not belong to this service.", examples=["rdr_0c5e"]
    )
    status: DisputeStatus = Field(description="Stripe's dispute status.", examples=["needs_response"])
    answer: str = Field(
        description="What the status means.",
        examples=["A chargeback: the bank has taken the money. Evidence has a deadline."],
    )
    open: bool = Field(examples=[True])
    amount: MoneyOut
    reason: str = Field(examples=["fraudulent"])
    refundable: bool = Field(
        description="Whether the payment could still be refunded when it was last fetched from Stripe.",
        examples=[False],
    )
    due_by: datetime | None = Field(description="Deadline for evidence.", examples=["2026-03-10T18:00:00Z"])
    opened_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    closed_at: datetime | None = Field(examples=[None])
    concern: DisputeConcernText | None = Field(
        description="Why the dispute needs attention beyond the evidence: unknown_status, unknown_payment, "
        "other_currency, in_part, refunded_too, won_after_lost.",
        examples=[None],
    )

    @classmethod
    def of(cls, dispute: Dispute) -> "DisputeOut":
        """Return the body for a dispute."""
        return cls(
            id=dispute.id,
            payment=dispute.payment_id,
            subscriber=dispute.subscriber_id,
            status=dispute.status,
            answer=effect_of(dispute.status).words,
            open=dispute.is_open,
            amount=MoneyOut(amount=dispute.amount, currency=dispute.currency),
            reason=dispute.reason,
            refundable=dispute.refundable,
            due_by=dispute.due_by,
            opened_at=dispute.opened_at,
            closed_at=dispute.closed_at,
            concern=dispute.concern,
        )


class DisputesOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[DisputeOut]
    next: str | None = Field(examples=["dp_123"])


class AttentionOut(ApiModel):
    """An item that no rule or policy decides."""

    id: str = Field(examples=["rfd_0c5e"])
    kind: AttentionKind = Field(
        description="dispute, fraud_warning, refund_failed, credit_note, notification or declaration.",
        examples=["refund_failed"],
    )
    why: str = Field(examples=["expired_or_canceled_card"])
    subscriber: str | None = Field(examples=["rdr_0c5e"])
    payment: str | None = Field(examples=["pi_123"])
    since: datetime = Field(examples=["2026-03-08T18:00:00Z"])

    @classmethod
    def of(cls, item: Item) -> "AttentionOut":
        """Return the body for an item."""
        return cls(
            id=item.object_id,
            kind=item.kind,
            why=item.why,
            subscriber=item.subscriber_id,
            payment=item.payment_id,
            since=item.since,
        )


class AttentionListOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[AttentionOut]
    next: str | None = Field(examples=["rfd_0c5e"])


class DismissalIn(ApiModel):
    """The action that staff took."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500), STORABLE] = Field(examples=["paid by cheque"])


@router.get("/disputes")
async def list_disputes(
    _: SupportAgent,
    ctx: Ctx,
    state: Annotated[Literal["open", "closed", "all"], Query()] = "open",
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DisputesOut:
    """List disputes, by evidence deadline."""
    wanted = None if state == "all" else state == "open"
    page = await disputes.page(ctx, is_open=wanted, after=after, limit=limit)
    return DisputesOut(data=[DisputeOut.of(found) for found in page.items], next=page.next)


@router.get("/attention")
async def list_attention(
    _: SupportAgent,
    ctx: Ctx,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AttentionListOut:
    """List items that need attention: unusual disputes, fraud warnings without an action, failed refunds."""
    page = await attention.page(ctx, after=after, limit=limit)
    return AttentionListOut(data=[AttentionOut.of(item) for item in page.items], next=page.next)


@router.post("/attention/{object_id}/dismiss", status_code=204, responses=problems(NotFound))
async def dismiss_attention(object_id: str, body: DismissalIn, agent: SupportAgent, ctx: Ctx, now: Now) -> None:
    """Dismiss an item, with the action that was taken."""
    await attention.dismiss(ctx, object_id, by=f"staff:{agent.sub}", reason=body.reason, now=now)
