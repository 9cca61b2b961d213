"""``/v1/checkout-sessions``: start a checkout and get its result."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, CurrentReader, Now
from app.api.listed_values import CheckoutPaymentStatus, CheckoutStatus
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.db.checkouts import Checkout, Choice
from app.domain.caller_limits import Limit
from app.domain.consents import LONGEST_USER_AGENT, LONGEST_VERSION, ConsentDetails, ConsentInvalid
from app.domain.duplicates import PossibleDuplicate
from app.domain.errors import NotFound, StripeUnavailable
from app.domain.plans import CurrencyInUse, PriceUnavailable, UnknownPlan
from app.domain.promotion_codes import PromotionCodeInvalid
from app.domain.return_urls import ReturnUrlNotAllowed
from app.domain.subscriptions import AlreadySubscribed
from app.services import checkout, plans
from app.services.checkout import CheckoutRequest

router = APIRouter(prefix="/v1/checkout-sessions", tags=["checkout"], route_class=Described)

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000), STORABLE]


class ConsentIn(ApiModel):
    """What proves the reader's consent in a dispute, as the site saw it. It is kept unchanged."""

    model_config = ConfigDict(extra="forbid")

    ip: Annotated[str, StringConstraints(min_length=2, max_length=45), STORABLE] | None = Field(
        default=None, description="The reader's IP address.", examples=["203.0.113.7"]
    )
    user_agent: Annotated[str, StringConstraints(max_length=LONGEST_USER_AGENT), STORABLE] | None = Field(
        default=None, description="The reader's browser.", examples=["Mozilla/5.0"]
    )
    terms_version: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_VERSION), STORABLE] | None = Field(
        default=None, description="Which version of your terms the reader agreed to.", examples=["2026-03"]
    )

    def to_details(self) -> ConsentDetails:
        """Return the details for the service."""
        return ConsentDetails(ip=self.ip, user_agent=self.user_agent, terms_version=self.terms_version)


class CheckoutIn(ApiModel):
    """What to subscribe to, and where to redirect the reader. ``{CHECKOUT_SESSION_ID}`` is replaced by the session's ID."""

    model_config = ConfigDict(extra="forbid")

    plan: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] = Field(examples=["annual"])
    print_edition: StrictBool = Field(default=False, examples=[True])
    success_url: Url = Field(examples=["http://localhost:8080/welcome?session_id={CHECKOUT_SESSION_ID}"])
    cancel_url: Url = Field(examples=["http://localhost:8080/subscribe"])
    promotion_code: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] | None = None
    allow_duplicate: StrictBool = Field(
        default=False,
        description="Continue although another account with the same verified email address is subscribed "
        "(`possible_duplicate`).",
        examples=[False],
    )

    consent: ConsentIn = Field(default=ConsentIn(), description="All optional.")

    def to_request(self) -> CheckoutRequest:
        """Return the request for the service."""
        return CheckoutRequest(
            choice=Choice(plan=self.plan, print_edition=self.print_edition, promotion_code=self.promotion_code),
            success_url=self.success_url,
            cancel_url=self.cancel_url,
            allow_duplicate=self.allow_duplicate,
            consent=self.consent.to_details(),
        )


class CheckoutOut(ApiModel):
    """A checkout session. Redirect the reader to ``url``."""

    id: str = Field(examples=["cs_test_a1b2c3"])
    url: str | None = Field(examples=["https://checkout.stripe.com/c/pay/cs_test_a1b2c3"])
    status: CheckoutStatus = Field(examples=["open"])
    expires_at: datetime | None = Field(examples=["2026-03-02T18:00:00Z"])
    guaranteed: bool = Field(
        description="Whether the money-back guarantee covers the subscription; false if the reader has used it already.",
        examples=[True],
    )

    @classmethod
    def of(cls, checkout_session: Checkout, *, guaranteed: bool) -> "CheckoutOut":
        """Return the body for a session."""
        return cls(
            id=checkout_session.stripe_id or "",
            url=checkout_session.url,
            status=checkout_session.status,
            expires_at=checkout_session.expires_at,
            guaranteed=guaranteed,
        )


class CheckoutResultOut(ApiModel):
    """The result of a checkout session. ``entitled`` says whether the reader has access now."""

    id: str = Field(examples=["cs_test_a1b2c3"])
    status: CheckoutStatus = Field(examples=["complete"])
    payment_status: CheckoutPaymentStatus = Field(examples=["paid"])
    entitled: bool = Field(examples=[True])


@router.post(
    "",
    status_code=201,
    dependencies=[CALLS_STRIPE],
    responses=problems(
        UnknownPlan,
        ConsentInvalid,
        ReturnUrlNotAllowed,
        PriceUnavailable,
        PromotionCodeInvalid,
        AlreadySubscribed,
        CurrencyInUse,
        PossibleDuplicate,
        StripeUnavailable,
    ),
)
async def start_checkout(body: CheckoutIn, reader: CurrentReader, ctx: Ctx, now: Now) -> CheckoutOut:
    """Create a checkout session. Returns the open session for the same choice; a different choice expires it first."""
    if body.promotion_code is not None:
        await ctx.caller_limits.take(Limit.PROMOTION_CODE, reader.sub)
    checkout_session = await checkout.start(ctx, body.to_request(), reader=reader, now=now)
    guaranteed = await plans.is_guaranteed_for(ctx, reader.sub, body.plan, now=now)
    return CheckoutOut.of(checkout_session, guaranteed=guaranteed)


@router.get("/{session_id}", dependencies=[CALLS_STRIPE], responses=problems(NotFound))
async def checkout_outcome(session_id: str, reader: CurrentReader, ctx: Ctx, now: Now) -> CheckoutResultOut:
    """Retrieve a checkout session. If the webhook is late, its state is fetched from Stripe."""
    result = await checkout.result(ctx, session_id, sub=reader.sub, now=now)
    return CheckoutResultOut(
        id=session_id,
        status=result.checkout.status,
        payment_status=result.checkout.payment_status,
        entitled=result.entitled,
    )
