"""Invoices with more lines than a page of a list."""

import asyncio

from tests.journeys.operations.test_reconciliation import report_lines
from tests.support.reconciliation import reconcile
from tests.support.shop import START_TIME, Shop

LINES, AT_ONCE = 1_000, 16


async def test_a_renewal_line_is_found_among_a_thousand_invoice_lines(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    (customer,) = await shop.stripe_customers()
    turn = asyncio.Semaphore(AT_ONCE)

    async def add() -> None:
        async with turn:
            of = {"customer": customer["id"], "subscription": held["stripe_id"]}
            await shop.stripe_post(
                "/v1/invoiceitems", **of, amount="1", currency="usd", description="a card in the post"
            )

    await asyncio.gather(*(add() for _ in range(LINES)))
    await shop.advance_to(START_TIME.replace(year=2027, month=3, day=3))

    invoices = (await shop.stripe_get("/v1/invoices", subscription=held["stripe_id"]))["data"]
    renewal = next(invoice for invoice in invoices if invoice["billing_reason"] == "subscription_cycle")
    assert (len(renewal["lines"]["data"]), renewal["lines"]["has_more"]) == (10, True)
    (seen,) = (await shop.overview(ada))["subscriptions"]
    assert [term["ends_at"] for term in seen["terms"]] == ["2027-03-01T18:00:00Z", "2028-03-01T18:00:00Z"]
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert report_lines(await reconcile(shop)) == []
