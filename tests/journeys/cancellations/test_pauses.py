"""Canceling a subscription that Stripe paused with credit: the credit is refunded, and access does not return."""

from datetime import timedelta

import pytest

from tests.journeys.cancellations.test_ends import check_nothing_due
from tests.journeys.cancellations.test_unpaid_periods import CANCEL, preview
from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.shop import START_TIME, Shop

DAY = timedelta(days=1)


@pytest.mark.parametrize("billed", ["pending", "now"])
@pytest.mark.parametrize("when", ["period_end", "now"])
async def test_an_unused_credit_is_refunded_and_access_does_not_return(shop: Shop, when: str, billed: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await two_years(shop)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.advance_to(START_TIME + 100 * DAY)
    invoiced = {"invoicing_behavior": "invoice"} if billed == "now" else {}
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/pause", type="subscription", **invoiced)
    await shop.wait_until_idle()
    assert not await shop.may_read(ada)
    seen = await preview(shop, ada)

    canceled = await shop.post(CANCEL, ada, {"when": when})

    assert canceled.status_code == 200, canceled.text
    end = seen["period_end"]
    assert (end["access_until"], end["issues_kept"], end["editions_until"], end["can_resume"]) == (None, 0, None, False)
    await shop.wait_until_idle()
    assert await shop.check(ada) == {"allowed": False, "reason": "ended", "until": "2026-06-09T18:00:00Z"}
    returned = [(one["basis"], one["amount"]["amount"]) for one in (await shop.overview(ada))["refunds"]]
    assert returned == [("unspent_credit", 35_58)]
    (customer,) = await shop.stripe_customers()
    assert customer["balance"] == 0
    assert not (await shop.stripe_get("/v1/invoiceitems", pending="true"))["data"]
    await check_nothing_due(shop)


async def test_a_term_whose_rest_was_credited_ends_when_the_subscription_is_resumed(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await two_years(shop)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.advance_to(START_TIME + 100 * DAY)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/pause", type="subscription", invoicing_behavior="invoice")
    await shop.advance_to(START_TIME + 200 * DAY)

    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/resume")
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "paid_term"
    first, second = (await only_subscription(shop, ada))["terms"]
    assert first["ends_at"] == second["starts_at"] == "2026-09-17T18:00:00Z"
    assert second["ledger"]["unserved"] == 24
    assert first["ledger"]["unserved"] == 0
