"""``/v1/me/refund-quote`` and ``/v1/me/refunds``: the money-back guarantee, requested by the reader."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from app.api.deps import CALLS_STRIPE, Ctx, CurrentReader, IdempotencyKey, Now, Prices
from app.api.models import ApiModel
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.api.refunds import PROCESSING_ANSWER, MoneyIn, QuoteOut, RefundResultOut, issue_once
from app.domain.money import Money, OtherCurrency
from app.domain.refunds import (
    GuaranteeExpired,
    GuaranteeUsed,
    NothingToRefund,
    PaidByCredit,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    RefundInProgress,
    RefundsMissing,
)
from app.domain.subscriptions import NoSubscription
from app.services import quotes, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused

router = APIRouter(prefix="/v1/me", tags=["refunds"], route_class=Described)


class MyQuoteOut(QuoteOut):
    """The amount that the guarantee would pay now. All payments of the term are refunded together."""

    payment: str | None = Field(description="null if nothing was charged for the subscription.", examples=["pi_123"])


class MyRefundIn(ApiModel):
    """``expected_amount`` is the quoted amount. If it has changed, nothing is refunded."""

    model_config = ConfigDict(extra="forbid")

    expected_amount: MoneyIn


@router.get("/refund-quote", dependencies=[CALLS_STRIPE], responses=problems(NoSubscription))
async def my_refund_quote(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> MyQuoteOut:
    """Quote my guarantee refund, or say why it is not possible."""
    payment, quote = await quotes.guarantee_of(ctx, reader.sub, now=now)
    return MyQuoteOut(payment=payment, **QuoteOut.of(quote, prices).model_dump())


@router.post(
    "/refunds",
    status_code=201,
    dependencies=[CALLS_STRIPE],
    response_model=RefundResultOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NoSubscription,
        GuaranteeExpired,
        GuaranteeUsed,
        NothingToRefund,
        PaidByCredit,
        PaidOutsideStripe,
        PaymentDisputed,
        QuoteChanged,
        RefundInProgress,
        RefundsMissing,
        OtherCurrency,
        KeyRequired,
        KeyInvalid,
        KeyReused,
        KeyInUse,
    ),
)
async def issue_my_refund(
    body: MyRefundIn, request: Request, reader: CurrentReader, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Request my guarantee refund. It ends the subscription."""
    expected = Money(body.expected_amount.amount, body.expected_amount.currency)
    wanted = await refunds.guarantee_request(ctx, reader.sub, expected=expected, now=now)
    return await issue_once(ctx, wanted, request, by=f"reader:{reader.sub}", key=key, now=now)
