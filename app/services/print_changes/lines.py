"""The line of an invoice that bills print for the rest of a term."""

from datetime import datetime
from typing import Any

from app.domain.plans import PRINT, Plan
from app.domain.prices import product_id


def line_parameters(plan: Plan, price: int, starts_at: datetime, ends_at: datetime) -> dict[str, Any]:
    """Return the line of an addition as Stripe bills it. Discounts of the subscription don't apply to it."""
    catalogued = plan.prices[PRINT]
    return {
        "price_data": {
            "currency": catalogued.price.currency,
            "product": product_id(plan.code, PRINT),
            "unit_amount": price,
            "tax_behavior": catalogued.tax_behavior,
        },
        "quantity": 1,
        "discountable": False,
        "period": {"start": int(starts_at.timestamp()), "end": int(ends_at.timestamp())},
    }
