"""After an hour without Stripe no entitled reader was refused, and the backlog is processed within the rate limits."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.support.event_histories import all_differences, deliver_all, list_events
from tests.support.many_subscribers import create_subscribers, rate_limit_counts
from tests.support.shop import START_TIME, Shop, open_shop

ALL_EXCEPT_CLOCK = "/v1/[!t]*"  # the time of Stripe's test clock
DUE = "UPDATE events SET due_at = now() WHERE due_at IS NOT NULL"


async def readers_without_access(shop: Shop, subs: Sequence[str]) -> list[str]:
    """Return the readers without access."""
    answer = await shop.http.post(
        "/v1/entitlements/check-many",
        headers={"Authorization": f"Bearer {shop.server_key}"},
        json={"subscribers": list(subs), "feature": "archive"},
    )
    assert answer.status_code == 200, answer.text
    return [one["subscriber"] for one in answer.json()["data"] if not one["allowed"]]


async def test_the_backlog_of_an_hour_without_stripe_drains_within_the_limits(
    database: str, sandbox: Any, issuer: Any
) -> None:
    async with open_shop(database, sandbox, issuer, stripe_rate_limit=80, stripe_endpoint_rate_limit=20) as shop:
        made = await create_subscribers(shop, 24, clock=shop.clock)
        known = await list_events(shop)
        await deliver_all(shop, known)
        await shop.wait_until_idle()
        subs = [row["sub"] for row in await shop.rows("SELECT sub FROM entitlements")]
        assert len(subs) == len(made)
        for one in made:
            await shop.stripe_post(f"/v1/subscriptions/{one}", cancel_at_period_end="true")
        later = (await list_events(shop))[len(known) :]

        fault = await shop.add_fault(method="*", path=ALL_EXCEPT_CLOCK, when="before", action="drop", times=None)
        await deliver_all(shop, later)
        for quarter in range(1, 5):
            moment = START_TIME + timedelta(minutes=15 * quarter)
            await shop.stripe_post(
                f"/v1/test_helpers/test_clocks/{shop.clock}/advance", frozen_time=str(int(moment.timestamp()))
            )
            await shop.wait_until("SELECT count(*) > 0 FROM events WHERE state = 'failed' AND due_at > now()")
            assert await readers_without_access(shop, subs) == []
            await shop.execute(DUE)
        waiting = await shop.count_pending_work()
        assert waiting >= len(made)

        await shop.stripe.put("/_sandbox/settings", json={"rate_limits": True})
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
        await shop.execute(DUE)
        opened = await shop.open_checkout(shop.person())  # has priority over the backlog
        await shop.wait_until_idle()

        limits = await rate_limit_counts(shop)
        assert opened.status_code == 201, opened.text
        assert limits["refused"] == 0, limits
        assert await shop.rows("SELECT id FROM events WHERE state NOT IN ('applied', 'ignored')") == []
        await shop.stripe.put("/_sandbox/settings", json={"rate_limits": False})
        assert not (wrong := await all_differences(shop, made)), wrong
        assert await readers_without_access(shop, subs) == []
