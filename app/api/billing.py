"""``/v1/me/billing-portal-sessions`` and ``/v1/me/invoices``: what Stripe shows a reader of their own."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import Ctx, CurrentReader
from app.api.models import STORABLE, ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.domain.invoices import ShownInvoice
from app.domain.return_urls import ReturnUrlNotAllowed
from app.domain.subscriptions import NoSubscription
from app.services import billing

router = APIRouter(prefix="/v1/me", tags=["subscription"], route_class=Described)


class PortalIn(ApiModel):
    """Where the portal's way back leads."""

    model_config = ConfigDict(extra="forbid")

    return_url: Annotated[str, StringConstraints(min_length=1, max_length=2000), STORABLE] = Field(
        examples=["http://localhost:8080/account"]
    )


class PortalOut(ApiModel):
    """A link that opens Stripe's portal for this reader, for some minutes: send them there at once, and keep it nowhere."""

    url: str = Field(examples=["https://billing.stripe.com/p/session/test_123"])


class InvoiceOut(ApiModel):
    """An invoice, and where to read it at Stripe. An open one is paid at its page."""

    id: str = Field(examples=["in_123"])
    number: str | None = Field(examples=["ABCD-0001"])
    status: str = Field(examples=["paid"])
    total: MoneyOut
    paid: MoneyOut
    created_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    hosted_invoice_url: str | None = Field(examples=["https://invoice.stripe.com/i/acct_1/test_123"])
    invoice_pdf: str | None = Field(examples=["https://pay.stripe.com/invoice/acct_1/test_123/pdf"])
    receipt_url: str | None = Field(
        description="null: nothing was charged for it", examples=["https://pay.stripe.com/receipts/test_123"]
    )

    @classmethod
    def of(cls, shown: ShownInvoice) -> "InvoiceOut":
        """Show an invoice."""
        return cls(
            id=shown.id,
            number=shown.number,
            status=shown.status,
            total=MoneyOut(amount=shown.total, currency=shown.currency),
            paid=MoneyOut(amount=shown.paid, currency=shown.currency),
            created_at=shown.created_at,
            hosted_invoice_url=shown.hosted_url,
            invoice_pdf=shown.pdf_url,
            receipt_url=shown.receipt_url,
        )


class InvoicesOut(ApiModel):
    """A list, and where it goes on."""

    data: list[InvoiceOut]
    next: str | None = Field(examples=[None])


@router.post(
    "/billing-portal-sessions",
    status_code=201,
    responses=problems(NoSubscription, ReturnUrlNotAllowed, StripeRefused, StripeUnavailable),
)
async def open_billing_portal(body: PortalIn, reader: CurrentReader, ctx: Ctx) -> PortalOut:
    """Open Stripe's portal, where readers look after their cards. What they do there is followed."""
    url = await billing.open_portal(ctx, reader.sub, return_url=body.return_url)
    return PortalOut(url=url)


@router.get("/invoices", responses=problems(NotFound, StripeRefused, StripeUnavailable))
async def my_invoices(
    reader: CurrentReader,
    ctx: Ctx,
    after: Annotated[str | None, Query(max_length=100), STORABLE] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> InvoicesOut:
    """List the reader's invoices as Stripe has them, the newest first, with the pages that show them."""
    shown, following = await billing.invoices_of(ctx, reader.sub, after=after, limit=limit)
    return InvoicesOut(data=[InvoiceOut.of(one) for one in shown], next=following)
