"""Checkout sessions and promotion codes at Stripe."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from stripe.checkout import Session as StripeSession

from app.domain.addresses import PostalAddress
from app.domain.errors import StripeRefused
from app.domain.money import Money
from app.domain.promotion_codes import StripePromotionCode
from app.gateway.client import Gateway
from app.gateway.translate import OUR_CHECKOUT, id_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCheckoutState:
    """The state of a checkout session at Stripe."""

    id: str
    status: str  # open, complete, expired
    payment_status: str  # paid, unpaid, no_payment_required
    url: str | None
    expires_at: datetime
    stripe_subscription_id: str | None
    created_at: datetime
    shipping: PostalAddress | None = None  # where the reader wants copies to be sent


async def create(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> StripeCheckoutState:
    """Create the session of a stored intent."""
    return _seen(
        await gateway.call(
            gateway.sdk.v1.checkout.sessions.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
        )
    )


async def fetch(gateway: Gateway, stripe_id: str) -> StripeCheckoutState:
    """Fetch a session."""
    return _seen(await gateway.call(gateway.sdk.v1.checkout.sessions.retrieve_async(stripe_id)))


async def find(gateway: Gateway, customer_id: str, *, checkout_id: str) -> StripeCheckoutState | None:
    """Return the session of one of our rows, if it was created although Stripe answered with an error."""
    listed = await gateway.every(gateway.sdk.v1.checkout.sessions.list_async({"customer": customer_id, "limit": 100}))
    for session in listed:
        if session.metadata and OUR_CHECKOUT in session.metadata and session.metadata[OUR_CHECKOUT] == checkout_id:
            return _seen(session)
    return None


async def expire(gateway: Gateway, stripe_id: str, *, key: str) -> None:
    """Expire an open session. Raises StripeRefused if it is not open."""
    await gateway.call(gateway.sdk.v1.checkout.sessions.expire_async(stripe_id, {}, {"idempotency_key": key}))


async def promotion_code(gateway: Gateway, code: str) -> StripePromotionCode | None:
    """Return an active promotion code, or None. Stripe also declines codes with characters that no code has."""
    try:
        listed = await gateway.call(
            gateway.sdk.v1.promotion_codes.list_async(
                {"code": code, "active": True, "limit": 1, "expand": ["data.promotion.coupon"]}
            )
        )
    except StripeRefused:
        return None
    if not listed.data:
        return None
    found = listed.data[0]
    amount, currency = found.restrictions.minimum_amount, found.restrictions.minimum_amount_currency
    coupon = found.promotion.coupon
    return StripePromotionCode(
        id=found.id,
        currency=coupon.currency if coupon is not None and not isinstance(coupon, str) else None,
        minimum=Money(amount, currency) if amount is not None and currency is not None else None,
        customer_id=id_or_none(found.customer),
    )


def _seen(session: StripeSession) -> StripeCheckoutState:
    bought = session.subscription
    return StripeCheckoutState(
        id=session.id,
        status=session.status or "open",
        payment_status=session.payment_status,
        url=session.url,
        expires_at=datetime.fromtimestamp(session.expires_at, UTC),
        stripe_subscription_id=bought if bought is None or isinstance(bought, str) else bought.id,
        created_at=datetime.fromtimestamp(session.created, UTC),
        shipping=_shipping(session),
    )


def _shipping(session: StripeSession) -> PostalAddress | None:
    collected = session.collected_information
    details = collected.shipping_details if collected is not None else None
    if details is None:
        return None
    address = details.address
    return PostalAddress(
        name=details.name or "",
        line1=address.line1 or "",
        line2=address.line2 or "",
        city=address.city or "",
        region=address.state or "",
        postal_code=address.postal_code or "",
        country=address.country or "",
    )
