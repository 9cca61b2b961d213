"""Promotion codes: why one cannot be used, in words for readers. Stripe decides; its own sentences are never shown."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.errors import Conflict
from app.domain.money import Money


class PromotionRefusal(StrEnum):
    """Why a promotion code cannot be used. Values are part of the API."""

    NOT_FOUND = "not_found"
    EXPIRED = "expired"
    FIRST_TIME_ONLY = "first_time_only"
    BELOW_MINIMUM = "below_minimum"
    OTHER_CURRENCY = "other_currency"
    OTHER_CUSTOMER = "other_customer"
    NOT_APPLICABLE = "not_applicable"


DETAILS = {
    PromotionRefusal.NOT_FOUND: "The code “{code}” isn't valid or has expired",
    PromotionRefusal.EXPIRED: "The code “{code}” isn't valid or has expired",
    PromotionRefusal.FIRST_TIME_ONLY: "The code “{code}” is only for new customers",
    PromotionRefusal.BELOW_MINIMUM: "The order is below the minimum amount for the code “{code}”",
    PromotionRefusal.OTHER_CURRENCY: "The code “{code}” isn't valid for this currency",
    PromotionRefusal.OTHER_CUSTOMER: "The code “{code}” is for another customer",
    PromotionRefusal.NOT_APPLICABLE: "The code “{code}” can't be used for this subscription",
}
# Stripe's error codes; see docs.stripe.com/error-codes.
STRIPE_CODES = {
    "coupon_expired": PromotionRefusal.EXPIRED,
    "promotion_code_expired": PromotionRefusal.EXPIRED,
    "promotion_code_customer_not_first_time": PromotionRefusal.FIRST_TIME_ONLY,
    "promotion_code_minimum_amount_not_met": PromotionRefusal.BELOW_MINIMUM,
}


class PromotionCodeInvalid(Conflict):
    """The promotion code isn't valid or has expired."""

    code = "promotion_code_invalid"
    title = "Invalid promotion code"

    def __init__(self, code: str, reason: PromotionRefusal) -> None:
        super().__init__(DETAILS[reason].format(code=code), promotion_code=code, reason=reason.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePromotionCode:
    """An active promotion code at Stripe. ``currency`` is that of a discount by amount; None: a percentage."""

    id: str
    currency: str | None
    minimum: Money | None  # of the order, before discounts
    customer_id: str | None  # the only customer who may use it

    def refusal(self, order: Money, *, customer_id: str | None, stripe_code: str | None) -> PromotionRefusal:
        """
        Return why Stripe declined the code for an order.

        :param customer_id: None: the buyer is not a customer yet.
        :param stripe_code: the code of Stripe's error, which is often missing.
        """
        if self.customer_id is not None and self.customer_id != customer_id:
            return PromotionRefusal.OTHER_CUSTOMER
        if self.minimum is not None and self.minimum.currency != order.currency:
            return PromotionRefusal.OTHER_CURRENCY
        known = STRIPE_CODES.get(stripe_code or "")
        if known is not None:
            return known
        if self.currency not in {None, order.currency}:
            return PromotionRefusal.OTHER_CURRENCY
        if self.minimum is not None and self.minimum.amount > order.amount:
            return PromotionRefusal.BELOW_MINIMUM
        return PromotionRefusal.NOT_APPLICABLE
