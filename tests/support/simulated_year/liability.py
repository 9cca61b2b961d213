"""The liability report of every month reconciles with the payments, refunds and lost disputes, to the cent."""

from collections import Counter
from datetime import date
from typing import Any

from app.domain.liability import first_of_month, next_month
from tests.support.shop import Shop

_SALES = """
SELECT to_char(date_trunc('month', paid_at AT TIME ZONE $1), 'YYYY-MM') AS month, currency, sum(amount - tax)::bigint AS net
FROM payments WHERE amount > 0 GROUP BY 1, 2
"""
_RETURNED = """
SELECT currency, sum(least(amount - tax, refunded + lost + credited - tax * credited / amount))::bigint AS net
FROM payments p, LATERAL (
    SELECT (SELECT coalesce(sum(r.amount - r.tax), 0) FROM refunds r WHERE r.payment_id = p.id
                AND r.status IN ('pending', 'requires_action', 'succeeded')) AS refunded,
        (SELECT coalesce(sum(d.amount - p.tax * d.amount / p.amount), 0) FROM disputes d WHERE d.payment_id = p.id
            AND d.status = 'lost') AS lost) back
WHERE amount > 0 GROUP BY currency
"""


async def check_liability(shop: Shop) -> None:
    """Check that each month adds up, continues the one before and has the sales of the month, and all have all refunds."""
    clerk = shop.person("finance", roles=("finance",))
    sold = {
        (row["month"], row["currency"]): row["net"] for row in await shop.rows(_SALES, shop.settings.publisher_timezone)
    }
    if not sold:
        return
    today = date.fromisoformat((await shop.get("/v1/reports/liability", clerk)).json()["through"])
    month, owed, refunds = date.fromisoformat(f"{min(sold)[0]}-01"), Counter[str](), Counter[str]()
    while month <= first_of_month(today):
        answer = await shop.get("/v1/reports/liability", clerk, month=f"{month:%Y-%m}")
        found: dict[str, dict[str, Any]] = {one["currency"]: one for one in answer.json()["currencies"]}
        for currency in found.keys() | owed.keys():
            one = found.get(currency, dict.fromkeys(("opening", "sales", "earned_reversed", "refunds", "closing"), 0))
            where = f"{month:%Y-%m} {currency}: {one}"
            assert one["opening"] == owed[currency], where
            assert one["closing"] >= 0, where
            assert one["sales"] == sold.get((f"{month:%Y-%m}", currency), 0), where
            owed[currency] = one["closing"]
            refunds[currency] += one["refunds"]
        month = next_month(month)
    assert refunds == Counter({row["currency"]: row["net"] for row in await shop.rows(_RETURNED)})
