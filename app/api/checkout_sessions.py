"""``/v1/checkout-sessions``: a reader begins to subscribe, and comes back."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from app.api.deps import Ctx, CurrentReader, Now
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.db.checkouts import Checkout, Choice
from app.domain.errors import NotFound, StripeUnavailable
from app.domain.plans import PriceUnavailable, UnknownPlan
from app.domain.return_urls import ReturnUrlNotAllowed
from app.domain.subscriptions import AlreadySubscribed
from app.services import checkout, subscriptions
from app.services.checkout import CheckoutRequest, PromotionCodeInvalid, Reader

router = APIRouter(prefix="/v1/checkout-sessions", tags=["checkout"], route_class=Described)

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000), STORABLE]


class CheckoutIn(ApiModel):
    """What the reader chose, and where to send them afterwards. ``{CHECKOUT_SESSION_ID}`` is filled in."""

    model_config = ConfigDict(extra="forbid")

    plan: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] = Field(examples=["annual"])
    print_edition: StrictBool = Field(default=False, examples=[True])
    success_url: Url = Field(examples=["http://localhost:8080/welcome?session_id={CHECKOUT_SESSION_ID}"])
    cancel_url: Url = Field(examples=["http://localhost:8080/subscribe"])
    promotion_code: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] | None = None

    def to_request(self) -> CheckoutRequest:
        """Return it in the service's words."""
        return CheckoutRequest(
            choice=Choice(plan=self.plan, print_edition=self.print_edition, promotion_code=self.promotion_code),
            success_url=self.success_url,
            cancel_url=self.cancel_url,
        )


class CheckoutOut(ApiModel):
    """An open session: send the reader to ``url``."""

    id: str = Field(examples=["cs_test_a1b2c3"])
    url: str | None = Field(examples=["https://checkout.stripe.com/c/pay/cs_test_a1b2c3"])
    status: str = Field(examples=["open"])
    expires_at: datetime | None = Field(examples=["2026-03-02T18:00:00Z"])

    @classmethod
    def of(cls, held: Checkout) -> "CheckoutOut":
        """Show a session."""
        return cls(id=held.stripe_id or "", url=held.url, status=held.status, expires_at=held.expires_at)


class OutcomeOut(ApiModel):
    """What came of a session. ``entitled``: the reader may read now."""

    id: str = Field(examples=["cs_test_a1b2c3"])
    status: Literal["opening", "open", "complete", "expired", "failed"] = Field(examples=["complete"])
    payment_status: str = Field(examples=["paid"])
    entitled: bool = Field(examples=[True])


@router.post(
    "",
    status_code=201,
    responses=problems(
        UnknownPlan, ReturnUrlNotAllowed, PriceUnavailable, PromotionCodeInvalid, AlreadySubscribed, StripeUnavailable
    ),
)
async def start_checkout(body: CheckoutIn, reader: CurrentReader, ctx: Ctx, now: Now) -> CheckoutOut:
    """Open a hosted checkout; the same choice returns the one that is open, another closes it first."""
    buyer = Reader(sub=reader.sub, email=reader.email, name=reader.name)
    held = await checkout.start(ctx, body.to_request(), reader=buyer, now=now)
    return CheckoutOut.of(held)


@router.get("/{session_id}", responses=problems(NotFound))
async def checkout_outcome(session_id: str, reader: CurrentReader, ctx: Ctx, now: Now) -> OutcomeOut:
    """Tell what came of a session. Stripe is asked when its webhook is late, so the return page need not wait for it."""
    bought = await checkout.look(ctx, session_id, sub=reader.sub)
    if bought is not None:
        await subscriptions.refresh(ctx, bought, now=now)
    out = await checkout.outcome(ctx, session_id, sub=reader.sub, now=now)
    held = out.checkout
    return OutcomeOut(
        id=session_id,
        status=held.status,
        payment_status=held.payment_status,
        entitled=out.entitled,
    )
