"""``/v1/me/refund-quote`` and ``/v1/me/refunds``: the money-back guarantee, by the reader's own click."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from app.api.deps import CurrentReader, IdempotencyKey, Now, ReadRules, Sessions, Settings, StripeGateway
from app.api.describing import NEEDS_KEY, Described
from app.api.problems import problems
from app.api.refunds import PROCESSING_ANSWER, QUOTE_EXAMPLE, MoneyIn, QuoteOut, RefundOut
from app.db.session import new_id
from app.domain.money import Money, OtherCurrency
from app.domain.refunds import (
    GUARANTEE,
    PROCESSING,
    GuaranteeUsed,
    NothingToRefund,
    OutsideGuarantee,
    PaymentDisputed,
    QuoteChanged,
    RefundInProgress,
)
from app.domain.subscriptions import NoSubscription
from app.services import idempotency, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused
from app.services.refunds import RefundRequest

router = APIRouter(prefix="/v1/me", tags=["refunds"], route_class=Described)


class MyQuoteOut(QuoteOut):
    """What the guarantee would pay now, and for which payment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**QUOTE_EXAMPLE, "payment": "pi_123"}]})

    payment: str


class MyRefundIn(BaseModel):
    """``expected_amount`` is what the quote said: if it no longer holds, nothing happens."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"expected_amount": {"amount": 4900, "currency": "usd"}}]}
    )

    expected_amount: MoneyIn


@router.get("/refund-quote", responses=problems(NoSubscription))
async def my_refund_quote(reader: CurrentReader, sessions: Sessions, rules: ReadRules, now: Now) -> MyQuoteOut:
    """Tell a reader what the guarantee would pay now, or why it would not."""
    payment, quote = await refunds.guarantee_of(sessions, rules, reader.sub, now=now)
    return MyQuoteOut(payment=payment, **QuoteOut.of(quote).model_dump())


@router.post(
    "/refunds",
    status_code=201,
    response_model=RefundOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NoSubscription,
        OutsideGuarantee,
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
async def issue_my_refund(
    body: MyRefundIn,
    request: Request,
    reader: CurrentReader,
    key: IdempotencyKey,
    sessions: Sessions,
    gateway: StripeGateway,
    rules: ReadRules,
    settings: Settings,
    now: Now,
) -> JSONResponse:
    """Give a reader their money back under the guarantee, and end their subscription."""
    payment, _ = await refunds.guarantee_of(sessions, rules, reader.sub, now=now)
    wanted = RefundRequest(
        payment_id=payment,
        basis=GUARANTEE,
        reason="requested_by_reader",
        note=None,
        expected=Money(body.expected_amount.amount, body.expected_amount.currency),
    )

    async def issue(refund_id: str) -> tuple[int, dict[str, Any]]:
        by, lease = f"reader:{reader.sub}", settings.lease
        refund = await refunds.issue(sessions, gateway, rules, wanted, refund_id=refund_id, by=by, lease=lease, now=now)
        return (202 if refund.status == PROCESSING else 201), RefundOut.of(refund).model_dump(mode="json")

    answer = await idempotency.once(
        sessions,
        caller=f"reader:{reader.sub}",
        route="POST /v1/me/refunds",
        key=key,
        body=await request.body(),
        new_object_id=new_id("rfd"),
        work=issue,
    )
    return JSONResponse(answer.body, answer.status)
