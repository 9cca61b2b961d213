"""``/v1/support/subscribers/{id}/export`` and ``/erase``, and ``/v1/support/erasures``: the data of one person."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from app.api.deps import CALLS_STRIPE, Ctx, Now, PrivacyOfficer, RealNow, RecentPrivacyOfficer
from app.api.listed_values import ErasureStatus, RefundBasisText
from app.api.models import ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.erasures import Erasure, ErasureBlocked, ErasurePreview, RefundDue
from app.domain.errors import NotFound, StripeUnavailable
from app.services import erasures, exports

router = APIRouter(prefix="/v1/support", tags=["privacy"], route_class=Described)


class ExportOut(ApiModel):
    """Everything that is stored about one person. Staff are not named, because they are other people."""

    subscriber: str = Field(examples=["rdr_0c5e"])
    exported_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    here: dict[str, list[dict[str, Any]]] = Field(
        description="Rows by table.", examples=[{"subscribers": [{"id": "rdr_0c5e", "email": "ada@example.com"}]}]
    )
    at_stripe: list[dict[str, Any]] = Field(
        description="Objects by kind, for each customer of the person.",
        examples=[[{"customer": {"id": "cus_123", "email": "ada@example.com"}}]],
    )


class RefundableOut(ApiModel):
    """What can be refunded of a payment."""

    payment: str = Field(examples=["pi_123"])
    basis: RefundBasisText = Field(examples=["unserved_issues"])
    amount: MoneyOut


class BlockerOut(ApiModel):
    """Why the reader can't be erased yet."""

    object: str = Field(examples=["dp_123"])
    words: str = Field(
        examples=["The dispute dp_123 is open, and its evidence may need the reader's data. Wait for the decision"]
    )


class ErasurePreviewOut(ApiModel):
    """What an erasure would do. It refunds nothing by itself."""

    ends: list[str] = Field(description="Subscriptions and complimentary access that end.", examples=[["scr_0c5e"]])
    refundable: list[RefundableOut] = Field(description="What can be refunded before; not afterwards by the reader.")
    credit: list[MoneyOut] = Field(description="Credit in the customer's balance at Stripe, which is deleted.")
    blocked_by: list[BlockerOut]

    @classmethod
    def of(cls, preview: ErasurePreview) -> "ErasurePreviewOut":
        """Return the body for a preview."""
        return cls(
            ends=list(preview.ends),
            refundable=[
                RefundableOut(payment=one.payment_id, basis=one.basis, amount=MoneyOut.of(one.money))
                for one in preview.refundable
            ],
            credit=[MoneyOut.of(one) for one in preview.credit],
            blocked_by=[BlockerOut(object=one.object_id, words=one.words) for one in preview.blockers],
        )


class ErasureIn(ApiModel):
    """A request to erase a reader."""

    model_config = ConfigDict(extra="forbid")

    without_refund: bool = Field(
        default=False, strict=True, description="Confirm that what can be refunded is not refunded.", examples=[False]
    )


class KeptOut(ApiModel):
    """What is kept, and why."""

    what: str = Field(examples=["payments"])
    why: str = Field(examples=["Tax law requires the books to be kept. They name the reader only by our own ID."])
    count: int = Field(examples=[2])


class ErasureOut(ApiModel):
    """An erasure and, once it is finished, what was erased and what was kept."""

    id: str = Field(examples=["era_0c5e"])
    subscriber: str = Field(examples=["rdr_0c5e"])
    status: ErasureStatus = Field(description="`processing` or `finished`.", examples=["finished"])
    requested_by: str = Field(examples=["staff:user-7"])
    requested_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    finished_at: datetime | None = Field(examples=["2026-03-01T18:00:05Z"])
    erased: dict[str, int] = Field(
        description="Rows by table that were changed or deleted.", examples=[{"subscribers": 1, "contact_changes": 2}]
    )
    kept: list[KeptOut]

    @classmethod
    def of(cls, found: Erasure) -> "ErasureOut":
        """Return the body for an erasure."""
        return cls(
            id=found.id,
            subscriber=found.subscriber_id,
            status="finished" if found.finished_at is not None else "processing",
            requested_by=found.requested_by,
            requested_at=found.requested_at,
            finished_at=found.finished_at,
            erased=dict(found.erased),
            kept=[KeptOut(what=one.what, why=one.why, count=one.count) for one in found.kept],
        )


NOT_CONFIRMED = ErasureIn()


@router.get(
    "/subscribers/{subscriber_id}/export",
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, StripeUnavailable),
)
async def export_subscriber(
    subscriber_id: str, officer: RecentPrivacyOfficer, ctx: Ctx, now: RealNow, response: Response
) -> ExportOut:
    """Export everything that is stored about a person, here and at Stripe."""
    response.headers["Cache-Control"] = "no-store"
    found = await exports.export(ctx, subscriber_id, by=officer.actor, now=now)
    return ExportOut.model_validate(found.as_json())


@router.get(
    "/subscribers/{subscriber_id}/erasure-preview",
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, StripeUnavailable),
)
async def preview_erasure(subscriber_id: str, _: PrivacyOfficer, ctx: Ctx, now: Now) -> ErasurePreviewOut:
    """Retrieve what an erasure would end, what can be refunded before, and what blocks it."""
    return ErasurePreviewOut.of(await erasures.preview(ctx, subscriber_id, now=now))


@router.post(
    "/subscribers/{subscriber_id}/erase",
    status_code=202,
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, ErasureBlocked, RefundDue, StripeUnavailable),
)
async def erase_subscriber(
    subscriber_id: str, officer: RecentPrivacyOfficer, ctx: Ctx, now: Now, body: ErasureIn = NOT_CONFIRMED
) -> ErasureOut:
    """Erase a person: end what is running, and remove or anonymize their data. A repeated request has no further effect."""
    ordered = await erasures.order(ctx, subscriber_id, without_refund=body.without_refund, by=officer.actor, now=now)
    return ErasureOut.of(ordered)


@router.get("/erasures/{erasure_id}", responses=problems(NotFound))
async def show_erasure(erasure_id: str, _: PrivacyOfficer, ctx: Ctx) -> ErasureOut:
    """Retrieve an erasure and its report."""
    return ErasureOut.of(await erasures.get(ctx, erasure_id))
