"""``/v1/support/payments/{id}/refund-quote`` and ``/v1/support/refunds``: quote and issue refunds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.api.deps import CALLS_STRIPE, Ctx, IdempotencyKey, Now, Prices, RecentSupportAgent, SupportAgent
from app.api.listed_values import RefundBasisText, RefundRefusal, RefundStatusText
from app.api.models import STORABLE, ApiModel, MoneyOut, OtherAccessOut, PriceOut
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.context import Context
from app.db.engine.session import new_id
from app.domain.approvals import OwnAccount
from app.domain.errors import NotFound
from app.domain.money import InvalidAmount, Money, OtherCurrency
from app.domain.quotes import Quote
from app.domain.reasons import RefundReason
from app.domain.refunds import (
    GuaranteeExpired,
    GuaranteeUsed,
    NoCalendar,
    NothingToRefund,
    NothingUnserved,
    NotTheFirstPayment,
    NoWithdrawalRight,
    PaidByCredit,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    Refund,
    RefundBasis,
    RefundInProgress,
    RefundsMissing,
    RefundStatus,
    RefundTooLarge,
    WithdrawalPeriodOver,
)
from app.localization import Localization
from app.services import idempotency, quotes, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused
from app.services.refunds import RefundRequest

router = APIRouter(prefix="/v1/support", tags=["refunds"], route_class=Described)


class MoneyIn(ApiModel):
    """An amount in minor units of a currency."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(ge=1, le=2**53, strict=True)] = Field(examples=[4900])
    currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")] = Field(examples=["usd"])
    formatted: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="Ignored, so that a quoted amount can be sent as it was received.", examples=["$49"]
    )


class RefundIn(ApiModel):
    """
    The refund to issue. ``expected_amount`` is the quoted amount. If it has changed, nothing is refunded.

    ``goodwill`` requires ``amount``; ``expected_amount`` is then that amount, or the refundable amount of the quote.
    """

    model_config = ConfigDict(extra="forbid")

    payment: Annotated[str, StringConstraints(min_length=1, max_length=255), STORABLE] = Field(examples=["pi_123"])
    basis: Literal[RefundBasis.GUARANTEE, RefundBasis.WITHDRAWAL, RefundBasis.UNSERVED_ISSUES, RefundBasis.GOODWILL] = (
        Field(examples=["guarantee"])
    )
    amount: MoneyIn | None = Field(default=None, description="Required for `goodwill`, not allowed otherwise.")
    reason: RefundReason = Field(description="`other` requires a note.", examples=["requested_by_reader"])
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000), STORABLE] | None = None
    expected_amount: MoneyIn

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.basis == RefundBasis.GOODWILL) != (self.amount is not None):
            raise ValueError("`amount` is required for goodwill and not allowed otherwise")
        if self.reason == RefundReason.OTHER and not self.note:
            raise ValueError("the reason `other` requires a note")
        return self

    def to_request(self) -> RefundRequest:
        """Return the request for the service."""
        return RefundRequest(
            payment_id=self.payment,
            basis=self.basis,
            reason=self.reason.value,
            note=self.note or None,
            expected=Money(self.expected_amount.amount, self.expected_amount.currency),
            amount=Money(self.amount.amount, self.amount.currency) if self.amount else None,
        )


class PartOut(ApiModel):
    """The refund of one payment."""

    payment: str = Field(examples=["pi_123"])
    amount: PriceOut
    tax: PriceOut


class QuotedIssuesOut(ApiModel):
    """How many issues the payment bought, and how many of them were served."""

    owed: int = Field(examples=[24])
    served: int = Field(examples=[7])
    unserved: int = Field(examples=[17])


class QuoteOut(ApiModel):
    """What a refund on one basis would pay and do, or why it is not possible."""

    basis: RefundBasisText = Field(examples=["guarantee"])
    allowed: bool = Field(examples=[True])
    reason: RefundRefusal | None = Field(description="Why it is not possible, as a code.", examples=[None])
    detail: str | None = Field(description="Why it is not possible, as a sentence.", examples=[None])
    amount: PriceOut = Field(description="Total amount; for goodwill, the maximum.")
    tax: PriceOut = Field(description="Tax included in the amount.")
    parts: list[PartOut] = Field(description="The refund of each payment of the term.")
    issues: QuotedIssuesOut | None = Field(
        description="For `unserved_issues`: the issues the amount is calculated from."
    )
    until: datetime | None = Field(description="When the basis expires (exclusive).", examples=["2026-04-30T18:00:00Z"])
    ends_access: bool = Field(
        description="Whether the refund ends the subscription and the access that it gives.", examples=[True]
    )
    stops_print: bool = Field(description="Whether the refund stops the remaining print copies.", examples=[False])
    effect: str = Field(
        description="The effect in a sentence.", examples=["Access ends immediately and the subscription is canceled."]
    )
    other_access: OtherAccessOut | None = Field(
        default=None, description="What the reader keeps from other sources if the subscription ends."
    )
    approval_above: MoneyOut | None = Field(
        description="For `goodwill`: what you may still refund alone, after what was given on this payment, to this reader "
        "and by you today. Larger amounts need a second person's approval; null for other bases."
    )

    @classmethod
    def of(cls, quote: Quote, prices: Localization, *, alone: int | None = None) -> "QuoteOut":
        """Return the body for a quote. ``alone`` is the goodwill amount that needs no approval."""
        issues = quote.progress
        return cls(
            basis=quote.basis,
            allowed=quote.allowed,
            reason=quote.refusal.code if quote.refusal else None,
            detail=str(quote.refusal) if quote.refusal else None,
            amount=PriceOut.text(quote.amount, quote.currency, prices),
            tax=PriceOut.text(quote.tax, quote.currency, prices),
            parts=[
                PartOut(
                    payment=part.payment.id,
                    amount=PriceOut.text(part.amount, quote.currency, prices),
                    tax=PriceOut.text(part.tax, quote.currency, prices),
                )
                for part in quote.parts
            ],
            issues=QuotedIssuesOut(owed=issues.bought, served=issues.served, unserved=issues.bought - issues.served)
            if issues
            else None,
            until=quote.until.astimezone(UTC) if quote.until else None,
            ends_access=quote.ends_access,
            stops_print=quote.stops_print,
            effect=quote.effect,
            other_access=OtherAccessOut.of(quote.other_access),
            approval_above=MoneyOut(amount=alone, currency=quote.currency) if alone is not None else None,
        )


class QuotesOut(ApiModel):
    """The quotes for a payment, one for each basis."""

    payment: str = Field(examples=["pi_123"])
    quotes: list[QuoteOut]


class RefundOut(ApiModel):
    """
    A refund. ``awaiting_approval``: a second person must approve it. ``processing``: Stripe has not responded yet; the
    request is repeated automatically. ``pending`` and ``requires_action``: accepted by Stripe, but not paid out yet.
    """

    id: str = Field(examples=["rfd_0c5e"])
    payment: str = Field(examples=["pi_123"])
    basis: RefundBasisText = Field(examples=["guarantee"])
    status: RefundStatusText = Field(examples=["succeeded"])
    amount: MoneyOut
    tax: MoneyOut
    reason: str = Field(examples=["requested_by_reader"])
    note: str | None = Field(examples=[None])
    requested_by: str = Field(examples=["staff:agent-1"])
    decided_by: str | None = Field(description="Who approved or rejected it.", examples=[None])
    decided_at: datetime | None = Field(examples=[None])
    credit_note: str | None = Field(examples=["cn_123"])
    failure_reason: str | None = Field(examples=[None])
    attention: str | None = Field(description="What staff need to check.", examples=[None])
    created_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])

    @classmethod
    def of(cls, refund: Refund) -> "RefundOut":
        """Return the body for a refund."""
        return cls(
            id=refund.id,
            payment=refund.payment_id,
            basis=refund.basis,
            status=refund.status,
            amount=MoneyOut(amount=refund.amount, currency=refund.currency),
            tax=MoneyOut(amount=refund.tax, currency=refund.currency),
            reason=refund.reason,
            note=refund.note,
            requested_by=refund.requested_by,
            decided_by=refund.decided_by,
            decided_at=refund.decided_at,
            credit_note=refund.credit_note_id,
            failure_reason=refund.failure_reason,
            attention=refund.attention,
            created_at=refund.created_at,
        )


class RefundResultOut(RefundOut):
    """The refund of the requested payment, with all refunds of the same request: one for each payment of the term."""

    total: MoneyOut = Field(description="Total of all parts.")
    parts: list[RefundOut] = Field(description="All refunds of the same request, including this one.")

    @classmethod
    def all_of(cls, parts: Sequence[Refund]) -> "RefundResultOut":
        """Return the body for the refunds of one request; the first is the one for the requested payment."""
        return cls(
            **RefundOut.of(parts[0]).model_dump(),
            total=MoneyOut(amount=sum(refund.amount for refund in parts), currency=parts[0].currency),
            parts=[RefundOut.of(refund) for refund in parts],
        )


def status_and_body(parts: Sequence[Refund]) -> tuple[int, dict[str, Any]]:
    """Return the status and the body: 202 while approval or Stripe's answer is outstanding."""
    is_outstanding = any(refund.status in {RefundStatus.PROCESSING, RefundStatus.AWAITING_APPROVAL} for refund in parts)
    return (202 if is_outstanding else 201), RefundResultOut.all_of(parts).model_dump(mode="json")


PROCESSING_ANSWER: dict[int | str, dict[str, Any]] = {
    202: {
        "model": RefundResultOut,
        "description": "Stripe has not responded yet (the request is repeated automatically), or approval is needed",
    }
}


@router.get("/payments/{payment_id}/refund-quote", responses=problems(NotFound))
async def refund_quote(payment_id: str, agent: SupportAgent, ctx: Ctx, now: Now, prices: Prices) -> QuotesOut:
    """Quote a refund on each basis."""
    found = await quotes.of_payment(ctx, payment_id, now=now)
    alone = await quotes.goodwill_left(ctx, payment_id, by=agent.actor, now=now)
    shown = [QuoteOut.of(one, prices, alone=alone if one.basis == RefundBasis.GOODWILL else None) for one in found]
    return QuotesOut(payment=payment_id, quotes=shown)


@router.post(
    "/refunds",
    status_code=201,
    dependencies=[CALLS_STRIPE],
    response_model=RefundResultOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NotFound,
        GuaranteeExpired,
        NotTheFirstPayment,
        GuaranteeUsed,
        NoWithdrawalRight,
        WithdrawalPeriodOver,
        NothingToRefund,
        NoCalendar,
        NothingUnserved,
        PaidByCredit,
        PaidOutsideStripe,
        PaymentDisputed,
        RefundTooLarge,
        OwnAccount,
        QuoteChanged,
        RefundInProgress,
        RefundsMissing,
        OtherCurrency,
        InvalidAmount,
        KeyRequired,
        KeyInvalid,
        KeyReused,
        KeyInUse,
    ),
)
async def issue_refund(
    body: RefundIn, request: Request, agent: RecentSupportAgent, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Refund a payment. The quoted amount must still be valid."""
    return await issue_once(ctx, body.to_request(), request, by=f"staff:{agent.sub}", key=key, now=now)


async def issue_once(
    ctx: Context, wanted: RefundRequest, request: Request, *, by: str, key: str, now: datetime
) -> JSONResponse:
    """Issue a refund once for a caller's key. A repeated request gets the first response."""
    named = {"caller": by, "route": f"{request.method} {request.url.path}", "key": key}
    marked = replace(wanted, request_hash=idempotency.request_hash(**named))

    async def issue(refund_id: str) -> tuple[int, dict[str, Any]]:
        issued = await refunds.issue(ctx, marked, refund_id=refund_id, by=by, now=now)
        return status_and_body(issued)

    answer = await idempotency.once(
        ctx,
        **named,
        body=await request.body(),
        new_object_id=new_id("rfd"),
        work=issue,
    )
    return JSONResponse(answer.body, answer.status)
