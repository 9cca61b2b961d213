"""Readers cancel, resume and subscribe again; terms renew and expire."""

from datetime import timedelta

import pytest

from app import main
from app.domain.subscriptions import AlreadyEnded
from app.services import cancellations, catalogue
from tests.support.shop import START_TIME, Shop

A_YEAR = START_TIME.replace(year=2027)


async def test_a_scheduled_cancellation_keeps_access_until_the_end_of_the_term(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    canceled = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end", "reason": "too_expensive"})

    assert canceled.status_code == 200, canceled.text
    assert (canceled.json()["renews_at"], canceled.json()["ends_at"]) == (None, "2027-03-01T18:00:00Z")
    await shop.advance_to(A_YEAR - timedelta(hours=1))
    assert await shop.may_read(ada)
    await shop.advance_to(A_YEAR + timedelta(hours=1))
    assert (await shop.check(ada))["reason"] == "ended"
    assert (await shop.get("/v1/me/subscription", ada)).json()["status"] == "canceled"
    assert len((await shop.overview(ada))["payments"]) == 1


async def test_a_scheduled_cancellation_can_be_undone_in_one_click(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})

    resumed = await shop.post("/v1/me/subscription/resume", ada)

    assert resumed.status_code == 200, resumed.text
    assert (resumed.json()["renews_at"], resumed.json()["ends_at"]) == ("2027-03-01T18:00:00Z", None)


async def test_cancel_and_resume_can_be_repeated(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    for _ in range(2):
        ends = (await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})).json()
        again = (await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})).json()
        renews = (await shop.post("/v1/me/subscription/resume", ada)).json()
        assert ends["ends_at"] == again["ends_at"] == "2027-03-01T18:00:00Z"
        assert renews["ends_at"] is None

    actions = [row["action"] for row in await shop.rows("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["subscription.cancel_at_period_end", "subscription.resume"] * 2


async def test_a_cancellation_made_in_stripes_portal_can_be_undone_here(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    ends = int((START_TIME + timedelta(days=100)).timestamp())
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", cancel_at=str(ends), proration_behavior="none")
    await shop.wait_until_idle()
    assert (await shop.get("/v1/me/subscription", ada)).json()["ends_at"] is not None

    resumed = (await shop.post("/v1/me/subscription/resume", ada)).json()

    assert resumed["ends_at"] is None
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["cancel_at"] is None


async def test_canceling_now_ends_access_immediately_without_a_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    ended = await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})

    assert ended.json()["status"] == "canceled"
    assert (await shop.check(ada))["reason"] == "ended"
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    refused = await shop.post("/v1/me/subscription/resume", ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_ended")


async def test_canceling_now_ends_access_even_while_stripe_is_down(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"
    await shop.add_fault(method="DELETE", path=path, when="before", action="status", status=500, times=4)

    ended = await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})

    assert ended.json()["status"] == "canceled"
    assert not await shop.may_read(ada)
    await shop.wait_until_idle()
    assert (await shop.stripe_get(path))["status"] == "canceled"


async def test_a_former_subscriber_can_subscribe_again(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()

    await shop.subscribe(ada)

    assert await shop.may_read(ada)
    assert len(await shop.stripe_customers()) == 1


async def test_access_continues_while_stripe_finalizes_the_renewal_invoice(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    await shop.advance_to(A_YEAR + timedelta(minutes=30))
    assert (await shop.check(ada))["reason"] == "renewal_pending"
    await shop.advance_to(A_YEAR + timedelta(hours=2))

    assert await shop.check(ada) == {"allowed": True, "reason": "paid_term", "until": "2028-03-01T18:00:00Z"}
    assert len((await shop.overview(ada))["payments"]) == 2


async def test_a_reader_without_a_subscription_has_nothing_to_cancel(shop: Shop) -> None:
    refused = await shop.post("/v1/me/subscription/cancel", shop.person(), {"when": "now"})

    assert (refused.status_code, refused.json()["code"]) == (404, "no_subscription")


async def test_an_unpaid_subscription_grants_no_access(shop: Shop) -> None:
    ada = shop.person()
    await shop.open_checkout(ada)
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "never_subscribed"


async def test_a_cancellation_replaces_a_later_end_set_in_the_portal(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    later = int((A_YEAR + timedelta(days=100)).timestamp())
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", cancel_at=str(later), proration_behavior="none")
    await shop.wait_until_idle()

    canceled = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})

    assert canceled.status_code == 200, canceled.text
    assert canceled.json()["ends_at"] == "2027-03-01T18:00:00Z"
    await shop.advance_to(A_YEAR + timedelta(days=5))
    seen = await shop.overview(ada)
    assert (len(seen["payments"]), seen["subscriptions"][0]["status"]) == (1, "canceled")


async def test_a_cancellation_affects_only_the_named_subscription(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (old,) = (await shop.overview(ada))["subscriptions"]
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()
    await shop.subscribe(ada)

    async with main.open_context(shop.settings, catalogue.load(shop.settings.catalogue)) as ctx:
        for again in (
            cancellations.cancel_now(ctx, ada.sub, reason=None, only=old["id"], now=START_TIME),
            cancellations.cancel_at_period_end(ctx, ada.sub, reason=None, comment=None, only=old["id"], now=START_TIME),
            cancellations.resume(ctx, ada.sub, only=old["id"], now=START_TIME),
        ):
            with pytest.raises(AlreadyEnded):
                await again

    assert await shop.may_read(ada)
    assert (await shop.get("/v1/me/subscription", ada)).json()["ends_at"] is None
