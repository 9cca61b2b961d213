"""Promotion codes: the reason that a reader is given when Stripe declines one."""

from dataclasses import replace

import pytest

from app.domain.money import Money
from app.domain.promotion_codes import DETAILS, PromotionCodeInvalid, PromotionRefusal, StripePromotionCode

CODE = StripePromotionCode(id="promo_1", currency=None, minimum=None, customer_id=None)
ORDER = Money(49_00, "usd")


@pytest.mark.parametrize(
    ("code", "stripe_code", "reason"),
    [
        pytest.param(CODE, "promotion_code_customer_not_first_time", "first_time_only", id="not a new customer"),
        pytest.param(CODE, "promotion_code_minimum_amount_not_met", "below_minimum", id="below the minimum"),
        pytest.param(replace(CODE, minimum=Money(60_00, "usd")), None, "below_minimum", id="below it, without a code"),
        pytest.param(
            replace(CODE, minimum=Money(10_00, "eur")),
            "promotion_code_minimum_amount_not_met",
            "other_currency",
            id="minimum in another currency",
        ),
        pytest.param(replace(CODE, currency="eur"), None, "other_currency", id="discount in another currency"),
        pytest.param(CODE, "promotion_code_expired", "expired", id="expired"),
        pytest.param(CODE, "coupon_expired", "expired", id="coupon expired"),
        pytest.param(replace(CODE, customer_id="cus_2"), None, "other_customer", id="for another customer"),
        pytest.param(replace(CODE, customer_id="cus_1"), "new_code", "not_applicable", id="unknown code of Stripe"),
        pytest.param(CODE, None, "not_applicable", id="no code of Stripe"),
    ],
)
def test_a_declined_promotion_code_has_a_reason(
    code: StripePromotionCode, stripe_code: str | None, reason: str
) -> None:
    assert code.refusal(ORDER, customer_id="cus_1", stripe_code=stripe_code) == reason


@pytest.mark.parametrize("reason", PromotionRefusal)
def test_every_reason_has_a_sentence_for_readers(reason: PromotionRefusal) -> None:
    error = PromotionCodeInvalid("HALF", reason)
    assert "HALF" in str(error)
    assert error.facts == {"promotion_code": "HALF", "reason": reason.value}
    assert DETAILS.keys() == set(PromotionRefusal)
