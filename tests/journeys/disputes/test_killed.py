"""The service is killed between the steps of a lost dispute or a fraud warning; each still takes effect once."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.journeys.disputes.test_disputes import access_reason, charge_of, policy_entries, subscribe
from tests.support.crashes import kill_and_restart
from tests.support.shop import Shop

pytestmark = pytest.mark.slow


def slow_step(method: str, path: str, when: str, *, id: str) -> Any:  # noqa: A002 - pytest's own name
    """Return a step that only the long tests run: each kill costs the start of two processes."""
    return pytest.param(method, path, when, id=id, marks=pytest.mark.soak)


LOST = [
    slow_step("GET", "/v1/disputes", "before", id="received, not fetched"),
    slow_step("GET", "/v1/disputes", "after", id="fetched, not recorded"),
    slow_step("DELETE", "/v1/subscriptions/*", "before", id="access ended, not canceled at Stripe"),
    pytest.param("DELETE", "/v1/subscriptions/*", "after", id="canceled at Stripe, not recorded"),
]
WARNED = [
    slow_step("GET", "/v1/radar/early_fraud_warnings", "after", id="fetched, refund not ordered"),
    slow_step("POST", "/v1/refunds", "before", id="refund ordered, not paid"),
    pytest.param("POST", "/v1/refunds", "after", id="refund paid, not recorded"),
    slow_step("DELETE", "/v1/subscriptions/*", "after", id="canceled at Stripe, not recorded"),
]


async def kill_at_step(shop: Shop, happening: str, wanted: dict[str, str], fault: Mapping[str, str]) -> None:
    """Trigger an action of a bank, kill the service at a given step, and start it again."""
    held = await shop.add_fault(**fault, action="hold", times=1)
    done = await shop.stripe.post(f"/_sandbox/{happening}", json=wanted)
    assert done.status_code == 200, done.text
    await kill_and_restart(shop, held)
    await shop.wait_until_idle()


@pytest.mark.parametrize(("method", "path", "when"), LOST)
async def test_a_lost_dispute_ends_the_subscription_once_if_killed_between_steps(
    killable_shop: Shop, method: str, path: str, when: str
) -> None:
    ada = killable_shop.person()
    charge = await charge_of(killable_shop, await subscribe(killable_shop, ada))
    dispute = (await killable_shop.stripe.post(f"/_sandbox/charges/{charge}/dispute", json={})).json()["id"]
    await killable_shop.wait_until_idle()

    fault = {"method": method, "path": path, "when": when}
    await kill_at_step(killable_shop, f"disputes/{dispute}", {"status": "lost"}, fault)

    assert await access_reason(killable_shop, ada) == (False, "dispute_lost")
    (held,) = (await killable_shop.overview(ada))["subscriptions"]
    assert (await killable_shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await killable_shop.stripe_get("/v1/refunds"))["data"] == []
    assert [action for action, _, _ in await policy_entries(killable_shop)].count("dispute.lost") == 1


@pytest.mark.parametrize(("method", "path", "when"), WARNED)
async def test_a_fraud_warning_is_refunded_once_if_killed_between_steps(
    killable_shop: Shop, method: str, path: str, when: str
) -> None:
    ada = killable_shop.person()
    charge = await charge_of(killable_shop, await subscribe(killable_shop, ada))

    await kill_at_step(killable_shop, f"charges/{charge}/warn", {}, {"method": method, "path": path, "when": when})

    assert (await access_reason(killable_shop, ada))[0] is False
    (refund,) = (await killable_shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    (ours,) = await killable_shop.rows("SELECT basis, status, stripe_refund_id FROM refunds")
    assert tuple(ours.values()) == ("fraud_warning", "succeeded", refund["id"])
    (held,) = (await killable_shop.overview(ada))["subscriptions"]
    assert (await killable_shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    actions = [action for action, _, _ in await policy_entries(killable_shop)]
    assert (actions.count("fraud_warning.acted"), actions.count("refund.confirmed")) == (1, 1)
