"""``…/print-edition`` and its quote, for readers and for staff: add or drop print within a term."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from app.api.addresses import AddressFields
from app.api.deps import (
    CALLS_STRIPE,
    Ctx,
    CurrentReader,
    IdempotencyKey,
    Now,
    Prices,
    RecentSupportAgent,
    SupportAgent,
    seen_by,
)
from app.api.models import ApiModel, MoneyOut, PriceOut
from app.api.openapi import NEEDS_KEY, Described
from app.api.problems import problems
from app.context import Context
from app.db.engine.session import new_id
from app.domain.addresses import AddressIncomplete, CountryNotServed, PostalAddress
from app.domain.approvals import OwnAccount
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.domain.money import Money, OtherCurrency
from app.domain.plans import PriceUnavailable
from app.domain.print_changes import (
    NoPaidTerm,
    NoPrintEdition,
    PrintAddressRequired,
    PrintChange,
    PrintChangeInProgress,
    PrintChangeRefused,
    PrintPaymentFailed,
    PrintUnchanged,
)
from app.domain.refunds import NoCalendar, PaidOutsideStripe, PaymentDisputed, QuoteChanged, Refund, RefundInProgress
from app.domain.subscriptions import NoSubscription
from app.localization import Localization
from app.services import idempotency, print_changes, support
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused
from app.services.print_changes import PrintEditionRequest, PrintEditionStatus

router = APIRouter(prefix="/v1", route_class=Described)
Kind = Literal["add", "drop"]
Status = Literal["processing", "awaiting_payment", "completed", "failed"]
REFUSALS = problems(
    NoPrintEdition,
    PrintUnchanged,
    NoPaidTerm,
    PrintAddressRequired,
    PrintChangeInProgress,
    PrintChangeRefused,
    PrintPaymentFailed,
    QuoteChanged,
    CountryNotServed,
    AddressIncomplete,
    PriceUnavailable,
    NoCalendar,
    PaidOutsideStripe,
    PaymentDisputed,
    RefundInProgress,
    OtherCurrency,
    StripeRefused,
    StripeUnavailable,
    KeyRequired,
    KeyInvalid,
    KeyReused,
    KeyInUse,
)


class PrintAddressIn(AddressFields):
    """Where copies will be sent: the permanent address, once print is paid."""

    model_config = ConfigDict(extra="forbid")


class ExpectedIn(ApiModel):
    """The quoted amount, in minor units of a currency; 0 if nothing is charged or refunded."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(ge=0, le=2**53, strict=True)] = Field(examples=[1200])
    currency: Annotated[str, StringConstraints(pattern="^[a-z]{3}$")] = Field(examples=["usd"])
    formatted: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="Ignored, so that a quoted amount can be sent as it was received.", examples=["$12"]
    )


class PrintEditionIn(ApiModel):
    """``expected_amount`` is the quoted ``amount``. If it has changed, nothing is charged, refunded or changed."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool = Field(description="`true` adds print, `false` drops it.", strict=True, examples=[True])
    address: PrintAddressIn | None = Field(
        default=None, description="Required to add print if there is no postal address yet."
    )
    expected_amount: ExpectedIn

    def to_request(self) -> PrintEditionRequest:
        """Return the request for the service."""
        return PrintEditionRequest(
            enabled=self.enabled,
            expected=Money(self.expected_amount.amount, self.expected_amount.currency),
            address=PostalAddress(**self.address.model_dump()) if self.address is not None else None,
        )


class PrintChangeOut(ApiModel):
    """
    A change of the print edition. ``awaiting_payment``: the payment must be confirmed on ``pay_url`` within an hour, or is
    on its way. ``processing``: Stripe has not responded yet; the change is completed automatically.
    """

    id: str = Field(examples=["pch_0c5e"])
    kind: Kind = Field(examples=["add"])
    status: Status = Field(examples=["completed"])
    issues: int = Field(description="How many issues it is about.", examples=[12])
    from_issue: int | None = Field(description="Number of the first of them.", examples=[13])
    amount: MoneyOut = Field(description="The amount charged or refunded.")
    pay_url: str | None = Field(
        description="Stripe's page on which the payment is confirmed; null if nothing is to be confirmed.",
        examples=[None],
    )
    refunds: list[str] = Field(
        description="The IDs of the refunds when print is dropped, one for each payment.", examples=[["rfd_0c5e"]]
    )

    @classmethod
    def of(cls, change: PrintChange, refunds: list[Refund]) -> "PrintChangeOut":
        """Return the body for a change."""
        amount = change.due if change.kind == "add" else change.total
        return cls(
            id=change.id,
            kind=change.kind.value,
            status=change.status.value,
            issues=change.issues,
            from_issue=change.first_issue,
            amount=MoneyOut(amount=amount, currency=change.currency),
            pay_url=change.pay_url,
            refunds=[one.id for one in refunds],
        )


class PrintQuoteOut(ApiModel):
    """
    What adding or dropping print would cost or return now: what the subscription doesn't have can be added.

    Print is priced by the remaining issues, from the next one whose label cut-off has not passed.
    """

    enabled: bool = Field(description="Whether the subscription includes print now.", examples=[False])
    kind: Kind = Field(description="What the quote is for.", examples=["add"])
    allowed: bool = Field(examples=[True])
    reason: str | None = Field(description="Why it is not possible, as a code.", examples=[None])
    detail: str | None = Field(description="Why it is not possible, as a sentence.", examples=[None])
    issues: int = Field(description="How many issues are left.", examples=[12])
    from_issue: int | None = Field(
        description="Number of the first of them; null if there is none, or it is not on the calendar yet.",
        examples=[13],
    )
    amount: PriceOut = Field(description="The amount that is charged now or refunded. Send it as `expected_amount`.")
    price: PriceOut = Field(description="Price of the issues before tax; 0 when print is dropped.")
    tax: PriceOut = Field(description="The tax included in `total`.")
    total: PriceOut = Field(description="The price with tax, or the refund.")
    from_balance: PriceOut = Field(
        description="The part of `total` that the customer's balance pays; negative for a debt that is charged too."
    )
    to_balance: PriceOut = Field(
        description="What goes back to the customer's balance, besides `amount`, because it had paid for print."
    )
    until: datetime | None = Field(
        description="The end of the term. From then on, renewals include print or not, at its plain price.",
        examples=["2027-03-01T18:00:00Z"],
    )
    renews_with_print: bool = Field(
        description="Whether the next renewal includes print if nothing is changed. With `enabled` false, the payment for "
        "print arrived only after the last renewal: print can be added to the running term, or dropped before the next "
        "renewal, with an amount of 0.",
        examples=[False],
    )
    change: PrintChangeOut | None = Field(description="A change that is in progress.", examples=[None])

    @classmethod
    def of(cls, found: PrintEditionStatus, prices: Localization) -> "PrintQuoteOut":
        """Return the body for a quote."""
        quote = found.quote

        def price(amount: int) -> PriceOut:
            return PriceOut.text(amount, quote.currency, prices)

        return cls(
            enabled=found.enabled,
            kind=quote.kind.value,
            allowed=quote.refusal is None,
            reason=quote.refusal.code if quote.refusal is not None else None,
            detail=str(quote.refusal) if quote.refusal is not None else None,
            issues=quote.issues,
            from_issue=quote.first_issue,
            amount=price(quote.amount),
            price=price(quote.price),
            tax=price(quote.tax),
            total=price(quote.total),
            from_balance=price(quote.from_balance),
            to_balance=price(sum(quote.to_balance.values())),
            until=quote.ends_at,
            renews_with_print=found.renews_with_print,
            change=PrintChangeOut.of(found.change, []) if found.change is not None else None,
        )


IN_PROGRESS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": PrintChangeOut,
        "description": "The payment must be confirmed on `pay_url`, or Stripe has not responded yet",
    }
}


@router.get(
    "/me/subscription/print-edition/quote",
    tags=["subscription"],
    dependencies=[CALLS_STRIPE],
    responses=problems(NoSubscription, StripeUnavailable),
)
async def quote_my_print_edition(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> PrintQuoteOut:
    """Quote print for the rest of my term: what adding it costs, or dropping it returns."""
    return PrintQuoteOut.of(await print_changes.quote(ctx, reader.sub, now=now), prices)


@router.put(
    "/me/subscription/print-edition",
    tags=["subscription"],
    dependencies=[CALLS_STRIPE],
    response_model=PrintChangeOut,
    openapi_extra=NEEDS_KEY,
    responses=IN_PROGRESS | problems(NoSubscription) | REFUSALS,
)
async def change_my_print_edition(
    body: PrintEditionIn, request: Request, reader: CurrentReader, key: IdempotencyKey, ctx: Ctx, now: Now
) -> JSONResponse:
    """Add print to my subscription, or drop it. Dropping refunds the unserved issues."""
    return await _change_once(ctx, body, request, sub=reader.sub, by=f"reader:{reader.sub}", key=key, now=now)


@router.get(
    "/support/subscriptions/{subscription_id}/print-edition/quote",
    tags=["support"],
    dependencies=[CALLS_STRIPE],
    responses=problems(NotFound, StripeUnavailable),
)
async def quote_print_edition(
    subscription_id: str, agent: SupportAgent, ctx: Ctx, now: Now, prices: Prices
) -> PrintQuoteOut:
    """Quote print for the rest of a reader's term."""
    found = await support.subscription(ctx, subscription_id, viewer=seen_by(agent))
    quoted = await print_changes.quote(ctx, found.subscriber.sub, only=subscription_id, now=now)
    return PrintQuoteOut.of(quoted, prices)


@router.put(
    "/support/subscriptions/{subscription_id}/print-edition",
    tags=["support"],
    dependencies=[CALLS_STRIPE],
    response_model=PrintChangeOut,
    openapi_extra=NEEDS_KEY,
    responses=IN_PROGRESS | problems(NotFound, OwnAccount) | REFUSALS,
)
async def change_print_edition(
    subscription_id: str,
    body: PrintEditionIn,
    request: Request,
    agent: RecentSupportAgent,
    key: IdempotencyKey,
    ctx: Ctx,
    now: Now,
) -> JSONResponse:
    """Add print to a reader's subscription, or drop it. Their card is charged, or their payments are refunded."""
    found = await support.subscription(ctx, subscription_id, viewer=seen_by(agent))
    sub = found.subscriber.sub
    return await _change_once(ctx, body, request, sub=sub, by=agent.actor, only=subscription_id, key=key, now=now)


async def _change_once(
    ctx: Context,
    body: PrintEditionIn,
    request: Request,
    *,
    sub: str,
    by: str,
    only: str | None = None,
    key: str,
    now: datetime,
) -> JSONResponse:
    async def work(change_id: str) -> tuple[int, dict[str, Any]]:
        change, refunds = await print_changes.change(
            ctx, sub, body.to_request(), change_id=change_id, by=by, only=only, now=now
        )
        out = PrintChangeOut.of(change, refunds)
        return (202 if change.is_undecided else 200), out.model_dump(mode="json")

    answer = await idempotency.once(
        ctx,
        caller=by,
        route=f"{request.method} {request.url.path}",
        key=key,
        body=await request.body(),
        new_object_id=new_id("pch"),
        work=work,
    )
    return JSONResponse(answer.body, answer.status)
