"""``/v1/me/withdrawals``: the right of withdrawal, used by the reader, and the acknowledgments that they keep."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, CurrentReader, IdempotencyKey, Now, Prices
from app.api.listed_values import DeclarationKindText, DeclarationStatusText, RefundRefusal
from app.api.models import ApiModel, PriceOut
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.api.refunds import RefundOut
from app.db.engine.session import new_id
from app.domain.declarations import AlreadyWithdrawn, Declaration
from app.domain.money import Money, OtherCurrency
from app.domain.refunds import (
    NoWithdrawalRight,
    QuoteChanged,
    RefundInProgress,
    RefundsMissing,
    RefundStatus,
    WithdrawalPeriodOver,
)
from app.domain.subscriptions import AlreadyEnded, NoSubscription
from app.domain.withdrawals import WithdrawalLaw
from app.localization import Localization
from app.services import declarations, idempotency, refunds
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused
from app.services.refunds import Withdrawal, WithdrawalPreview

router = APIRouter(prefix="/v1/me", tags=["refunds"], route_class=Described)


class WithdrawalLawOut(ApiModel):
    """The law that gives the right."""

    code: str = Field(examples=["eea"])
    title: str = Field(examples=["Directive 2011/83/EU on consumer rights"])
    source: str = Field(examples=["https://eur-lex.europa.eu/eli/dir/2011/83/oj"])

    @classmethod
    def of(cls, law: WithdrawalLaw) -> "WithdrawalLawOut":
        """Return the body for a law."""
        return cls(code=law.code, title=law.title, source=law.source)


class WithdrawalQuoteOut(ApiModel):
    """What withdrawing from the contract would do now, or why it is not possible."""

    allowed: bool = Field(examples=[True])
    reason: RefundRefusal | None = Field(description="Why it is not possible, as a code.", examples=[None])
    detail: str | None = Field(description="Why it is not possible, as a sentence.", examples=[None])
    subscription: str = Field(description="The contract.", examples=["scr_0c5e"])
    amount: PriceOut = Field(description="Amount that is refunded at once: everything that was paid.")
    tax: PriceOut = Field(description="Tax included in the amount.")
    to_balance: PriceOut = Field(
        description="Amount that the customer's balance paid and that is returned to it. `amount` does not include it."
    )
    until: datetime | None = Field(
        description="When the right ends (exclusive). null if it is open: no printed copy was mailed yet, or there is no "
        "such right.",
        examples=["2026-03-16T05:00:00Z"],
    )
    manual_refund_reason: str | None = Field(
        description="Why staff refund the payment manually, as a code: withdrawing ends the contract all the same. "
        "null if it is refunded automatically.",
        examples=[None],
    )
    place: str | None = Field(
        description="Where the reader lives, as far as it is known: a country, or a country and a state. In an unknown "
        "place, the strictest law applies.",
        examples=["DE"],
    )
    law: WithdrawalLawOut | None
    recommended: Annotated[str, StringConstraints(pattern="^(withdrawal|guarantee)$")] | None = Field(
        description="Which of the reader's two rights we recommend: the larger refund. With equal refunds it is the "
        "withdrawal, because it doesn't use up the guarantee. null if neither applies.",
        examples=["withdrawal"],
    )

    @classmethod
    def of(cls, preview: WithdrawalPreview, prices: Localization) -> "WithdrawalQuoteOut":
        """Return the body for a preview."""
        found = preview.offer
        until = found.right.until if found.right is not None else None
        tax = found.quote.tax if found.quote is not None and found.payment_id is not None else 0
        return cls(
            allowed=found.allowed,
            reason=found.refusal.code if found.refusal is not None else None,
            detail=str(found.refusal) if found.refusal is not None else None,
            subscription=preview.subscription.id,
            amount=PriceOut.text(found.money.amount, found.money.currency, prices),
            tax=PriceOut.text(tax, found.money.currency, prices),
            to_balance=PriceOut.text(found.to_balance, found.money.currency, prices),
            until=until.astimezone(UTC) if until is not None else None,
            manual_refund_reason=found.manual_refund_reason.code if found.manual_refund_reason is not None else None,
            place=found.place.code,
            law=WithdrawalLawOut.of(found.right.law) if found.right is not None else None,
            recommended=preview.recommended,
        )


class WithdrawalAmountIn(ApiModel):
    """The amount that the reader saw. It may be zero, if nothing was paid."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(ge=0, le=2**53, strict=True)] = Field(examples=[4900])
    currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")] = Field(examples=["usd"])
    formatted: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="Ignored, so that a quoted amount can be sent as it was received.", examples=["$49"]
    )


class WithdrawalIn(ApiModel):
    """``expected_amount`` is the amount of the quote. If it has changed, nothing is done."""

    model_config = ConfigDict(extra="forbid")

    expected_amount: WithdrawalAmountIn


class DeclarationOut(ApiModel):
    """A reader's withdrawal or cancellation, as it was received. ``acknowledgment`` is a text to keep."""

    id: str = Field(examples=["dcl_0c5e"])
    kind: DeclarationKindText = Field(examples=["withdrawal"])
    received_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    subscription: str | None = Field(examples=["scr_0c5e"])
    status: DeclarationStatusText = Field(
        description="`received`, `pending` (Stripe has not confirmed it yet), `scheduled` (ends early), `revoked` (the"
        " reader resumed), `done`, `queued` (waiting for staff) or `settled` (handled by staff).",
        examples=["done"],
    )
    ends_at: datetime | None = Field(examples=["2026-03-08T18:00:00Z"])
    acknowledgment: str = Field(examples=["Slow Ferry\nAcknowledgment of your withdrawal from the contract\n…"])

    @classmethod
    def of(cls, declared: Declaration) -> "DeclarationOut":
        """Return the body for a declaration."""
        return cls(
            id=declared.id,
            kind=declared.kind,
            received_at=declared.received_at,
            subscription=declared.subscription_id,
            status=declared.status,
            ends_at=declared.ends_at,
            acknowledgment=declared.acknowledgment,
        )


class DeclarationsOut(ApiModel):
    """A reader's declarations, the newest first."""

    data: list[DeclarationOut]


class WithdrawalOut(DeclarationOut):
    """A withdrawal, and the refund of each payment. Without refunds, nothing was paid or staff look after it."""

    refunds: list[RefundOut]

    @classmethod
    def of_withdrawal(cls, done: Withdrawal) -> "WithdrawalOut":
        """Return the body for a withdrawal."""
        parts = [RefundOut.of(refund) for refund in done.refunds]
        return cls(**DeclarationOut.of(done.declaration).model_dump(), refunds=parts)


PROCESSING_ANSWER: dict[int | str, dict[str, Any]] = {
    202: {"model": WithdrawalOut, "description": "Stripe has not responded yet; it is repeated automatically"}
}


@router.get("/withdrawal-quote", dependencies=[CALLS_STRIPE], responses=problems(NoSubscription))
async def my_withdrawal_quote(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> WithdrawalQuoteOut:
    """Quote my withdrawal from the contract, or say why it is not possible."""
    return WithdrawalQuoteOut.of(await refunds.preview_withdrawal(ctx, reader.sub, now=now), prices)


@router.post(
    "/withdrawals",
    status_code=201,
    dependencies=[CALLS_STRIPE],
    response_model=WithdrawalOut,
    openapi_extra=NEEDS_KEY,
    responses=PROCESSING_ANSWER
    | problems(
        NoSubscription,
        NoWithdrawalRight,
        WithdrawalPeriodOver,
        AlreadyWithdrawn,
        AlreadyEnded,
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
async def withdraw(
    body: WithdrawalIn, request: Request, reader: CurrentReader, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Withdraw from my contract. It ends the subscription and refunds everything that was paid."""
    named = {"caller": f"reader:{reader.sub}", "route": f"{request.method} {request.url.path}", "key": key}
    expected = Money(body.expected_amount.amount, body.expected_amount.currency)

    async def work(declaration_id: str) -> tuple[int, dict[str, Any]]:
        done = await refunds.withdraw(
            ctx,
            reader.sub,
            declaration_id=declaration_id,
            expected=expected,
            request_hash=idempotency.request_hash(**named),
            now=now,
        )
        is_outstanding = any(refund.status == RefundStatus.PROCESSING for refund in done.refunds)
        return (202 if is_outstanding else 201), WithdrawalOut.of_withdrawal(done).model_dump(mode="json")

    answer = await idempotency.once(ctx, **named, body=await request.body(), new_object_id=new_id("dcl"), work=work)
    return JSONResponse(answer.body, answer.status)


@router.get("/declarations")
async def my_declarations(reader: CurrentReader, ctx: Ctx) -> DeclarationsOut:
    """List my withdrawals and cancellations, with their acknowledgments."""
    found = await declarations.of_reader(ctx, reader.sub)
    return DeclarationsOut(data=[DeclarationOut.of(one) for one in found])
