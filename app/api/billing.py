"""``/v1/me/billing-portal-sessions`` and ``/v1/me/invoices``: Stripe's billing portal, and one's own invoices."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, CurrentReader, Prices
from app.api.listed_values import InvoiceStatusText
from app.api.models import STORABLE, ApiModel, PriceOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.domain.invoices import InvoiceSummary
from app.domain.return_urls import ReturnUrlNotAllowed
from app.domain.subscriptions import NoSubscription
from app.localization import Localization
from app.services import billing

router = APIRouter(prefix="/v1/me", tags=["subscription"], route_class=Described)


class PortalIn(ApiModel):
    """Where the billing portal sends the reader afterwards."""

    model_config = ConfigDict(extra="forbid")

    return_url: Annotated[str, StringConstraints(min_length=1, max_length=2000), STORABLE] = Field(
        examples=["http://localhost:8080/account"]
    )


class PortalOut(ApiModel):
    """A short-lived link to Stripe's billing portal. Redirect the reader immediately and don't store it."""

    url: str = Field(examples=["https://billing.stripe.com/p/session/test_123"])


class InvoiceOut(ApiModel):
    """An invoice with links to Stripe's pages. An open invoice can be paid on its page."""

    id: str = Field(examples=["in_123"])
    number: str | None = Field(examples=["ABCD-0001"])
    status: InvoiceStatusText = Field(examples=["paid"])
    total: PriceOut
    paid: PriceOut
    created_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    hosted_invoice_url: str | None = Field(examples=["https://invoice.stripe.com/i/acct_1/test_123"])
    invoice_pdf: str | None = Field(examples=["https://pay.stripe.com/invoice/acct_1/test_123/pdf"])
    receipt_url: str | None = Field(
        description="null if nothing was charged.", examples=["https://pay.stripe.com/receipts/test_123"]
    )

    @classmethod
    def of(cls, shown: InvoiceSummary, prices: Localization) -> "InvoiceOut":
        """Return the body for an invoice."""
        return cls(
            id=shown.id,
            number=shown.number,
            status=shown.status,
            total=PriceOut.text(shown.total, shown.currency, prices),
            paid=PriceOut.text(shown.paid, shown.currency, prices),
            created_at=shown.created_at,
            hosted_invoice_url=shown.hosted_url,
            invoice_pdf=shown.pdf_url,
            receipt_url=shown.receipt_url,
        )


class InvoicesOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[InvoiceOut]
    next: str | None = Field(examples=[None])


@router.post(
    "/billing-portal-sessions",
    status_code=201,
    dependencies=[CALLS_STRIPE],
    responses=problems(NoSubscription, ReturnUrlNotAllowed, StripeRefused, StripeUnavailable),
)
async def open_billing_portal(body: PortalIn, reader: CurrentReader, ctx: Ctx) -> PortalOut:
    """Create a billing portal session, where the reader manages payment methods."""
    url = await billing.open_portal(ctx, reader.sub, return_url=body.return_url)
    return PortalOut(url=url)


@router.get("/invoices", dependencies=[CALLS_STRIPE], responses=problems(NotFound, StripeRefused, StripeUnavailable))
async def my_invoices(
    reader: CurrentReader,
    ctx: Ctx,
    prices: Prices,
    after: Annotated[str | None, Query(max_length=100), STORABLE] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> InvoicesOut:
    """List my invoices, newest first, with links to Stripe's pages."""
    page = await billing.invoices_of(ctx, reader.sub, after=after, limit=limit)
    return InvoicesOut(data=[InvoiceOut.of(one, prices) for one in page.items], next=page.next)
