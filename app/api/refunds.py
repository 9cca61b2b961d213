"""``/v1/support/payments/{id}/refund-quote`` and ``/v1/support/refunds``: money back, once."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from app.api.deps import Container, IdempotencyKey, Now, Parts, ReadRules, Sessions, SupportAgent
from app.api.describing import NEEDS_KEY, Described
from app.api.models import STORABLE, MoneyOut
from app.api.problems import problems
from app.db.session import new_id
from app.domain.errors import NotFound
from app.domain.money import Money, OtherCurrency
from app.domain.refunds import (
    PROCESSING,
    GuaranteeUsed,
    NothingToRefund,
    NotTheFirstPayment,
    OutsideGuarantee,
    PaymentDisputed,
    Quote,
    QuoteChanged,
    Refund,
    RefundInProgress,
)
from app.services import idempotency, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused
from app.services.refunds import RefundRequest

router = APIRouter(prefix="/v1/support", tags=["refunds"], route_class=Described)

QUOTE_EXAMPLE: JsonDict = {
    "basis": "guarantee",
    "allowed": True,
    "reason": None,
    "detail": None,
    "amount": {"amount": 4900, "currency": "usd"},
    "tax": {"amount": 0, "currency": "usd"},
    "until": "2026-04-30T18:00:00Z",
    "ends_access": True,
}
REFUND_EXAMPLE: JsonDict = {
    "id": "rfd_0c5e",
    "payment": "pi_123",
    "basis": "guarantee",
    "status": "succeeded",
    "amount": {"amount": 4900, "currency": "usd"},
    "tax": {"amount": 0, "currency": "usd"},
    "reason": "requested_by_reader",
    "note": None,
    "requested_by": "staff:agent-1",
    "failure_reason": None,
    "created_at": "2026-03-08T18:00:00Z",
}


class MoneyIn(BaseModel):
    """An amount in minor units of a currency."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(ge=1, le=2**53, strict=True)]
    currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")]


class RefundIn(BaseModel):
    """What to give back. ``expected_amount`` is what the quote said: if it no longer holds, nothing happens."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "payment": "pi_123",
                    "basis": "guarantee",
                    "reason": "requested_by_reader",
                    "expected_amount": {"amount": 4900, "currency": "usd"},
                }
            ]
        },
    )

    payment: Annotated[str, StringConstraints(min_length=1, max_length=255), STORABLE]
    basis: Literal["guarantee"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), STORABLE]
    note: Annotated[str, StringConstraints(max_length=2000), STORABLE] | None = None
    expected_amount: MoneyIn

    def to_request(self) -> RefundRequest:
        """Return it in the service's words."""
        return RefundRequest(
            payment_id=self.payment,
            basis=self.basis,
            reason=self.reason,
            note=self.note,
            expected=Money(self.expected_amount.amount, self.expected_amount.currency),
        )


class QuoteOut(BaseModel):
    """What a refund on one basis would pay, and what it does; or why it would not."""

    model_config = ConfigDict(json_schema_extra={"examples": [QUOTE_EXAMPLE]})

    basis: str
    allowed: bool
    reason: str | None = Field(description="why not, as a code", examples=["outside_guarantee"])
    detail: str | None = Field(description="why not, in a sentence")
    amount: MoneyOut
    tax: MoneyOut
    until: datetime | None
    ends_access: bool

    @classmethod
    def of(cls, quote: Quote) -> "QuoteOut":
        """Show a quote."""
        return cls(
            basis=quote.basis,
            allowed=quote.allowed,
            reason=quote.refusal.code if quote.refusal else None,
            detail=str(quote.refusal) if quote.refusal else None,
            amount=MoneyOut(amount=quote.amount, currency=quote.currency),
            tax=MoneyOut(amount=quote.tax, currency=quote.currency),
            until=quote.until,
            ends_access=quote.ends_access,
        )


class QuotesOut(BaseModel):
    """The quotes for one payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"payment": "pi_123", "quotes": [QUOTE_EXAMPLE]}]})

    payment: str
    quotes: list[QuoteOut]


class RefundOut(BaseModel):
    """One refund. ``processing``: Stripe has not answered yet, and we go on by ourselves."""

    model_config = ConfigDict(json_schema_extra={"examples": [REFUND_EXAMPLE]})

    id: str = Field(examples=["rfd_0c5e"])
    payment: str
    basis: str
    status: str = Field(examples=["succeeded"])
    amount: MoneyOut
    tax: MoneyOut
    reason: str
    note: str | None
    requested_by: str
    failure_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, refund: Refund) -> "RefundOut":
        """Show a refund."""
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
            failure_reason=refund.failure_reason,
            created_at=refund.created_at,
        )


PROCESSING_ANSWER: dict[int | str, dict[str, Any]] = {
    202: {"model": RefundOut, "description": "Stripe has not answered yet; we go on by ourselves"}
}


@router.get("/payments/{payment_id}/refund-quote", responses=problems(NotFound))
async def refund_quote(payment_id: str, _: SupportAgent, sessions: Sessions, rules: ReadRules, now: Now) -> QuotesOut:
    """Tell what each basis would pay now."""
    found = await refunds.quote(sessions, rules, payment_id, now=now)
    return QuotesOut(payment=payment_id, quotes=[QuoteOut.of(quote) for quote in found])


@router.post(
    "/refunds",
    status_code=201,
    response_model=RefundOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NotFound,
        OutsideGuarantee,
        NotTheFirstPayment,
        GuaranteeUsed,
        NothingToRefund,
        PaymentDisputed,
        QuoteChanged,
        RefundInProgress,
        OtherCurrency,
        KeyRequired,
        KeyInvalid,
        KeyReused,
        KeyInUse,
    ),
)
async def issue_refund(
    body: RefundIn, request: Request, agent: SupportAgent, key: IdempotencyKey, parts: Parts, now: Now
) -> JSONResponse:
    """Give money back on one payment. The quote must still hold."""
    return await give_back(parts, body.to_request(), request, by=f"staff:{agent.sub}", key=key, now=now)


async def give_back(
    parts: Container, wanted: RefundRequest, request: Request, *, by: str, key: str, now: datetime
) -> JSONResponse:
    """Issue a refund once for a caller's key, and answer as the first time when it is asked for again."""

    async def issue(refund_id: str) -> tuple[int, dict[str, Any]]:
        lease = parts.settings.lease
        refund = await refunds.issue(
            parts.sessions, parts.gateway, parts.rules, wanted, refund_id=refund_id, by=by, lease=lease, now=now
        )
        return (202 if refund.status == PROCESSING else 201), RefundOut.of(refund).model_dump(mode="json")

    answer = await idempotency.once(
        parts.sessions,
        caller=by,
        route=f"{request.method} {request.url.path}",
        key=key,
        body=await request.body(),
        new_object_id=new_id("rfd"),
        work=issue,
    )
    return JSONResponse(answer.body, answer.status)
