"""The service is killed between the phases of a lost dispute, and of a warning of fraud: one end, one refund."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.journeys.disputes.test_disputes import audited, bought, charge_of, why
from tests.support.killing import killed_and_back
from tests.support.shop import Shop


def rarely(method: str, path: str, when: str, *, id: str) -> Any:  # noqa: A002 - pytest's own word
    """Return a moment that is left to the long tests: each kill costs the start of two processes."""
    return pytest.param(method, path, when, id=id, marks=pytest.mark.soak)


LOST = [
    rarely("GET", "/v1/disputes", "before", id="told, and not looked at"),
    rarely("GET", "/v1/disputes", "after", id="looked at, and nothing recorded"),
    rarely("DELETE", "/v1/subscriptions/*", "before", id="access has ended, and Stripe has not cancelled"),
    pytest.param("DELETE", "/v1/subscriptions/*", "after", id="Stripe has cancelled, and it is not recorded"),
]
WARNED = [
    rarely("GET", "/v1/radar/early_fraud_warnings", "after", id="looked at, and nothing ordered"),
    rarely("POST", "/v1/refunds", "before", id="the refund is ordered, and not paid"),
    pytest.param("POST", "/v1/refunds", "after", id="the refund is paid, and not recorded"),
    rarely("DELETE", "/v1/subscriptions/*", "after", id="Stripe has cancelled, and it is not recorded"),
]


async def killed_at(shop: Shop, happening: str, wanted: dict[str, str], fault: Mapping[str, str]) -> None:
    """Have a bank do something, kill the service where it hurts, and start it again."""
    held = await shop.fault(**fault, action="hold", times=1)
    done = await shop.stripe.post(f"/_sandbox/{happening}", json=wanted)
    assert done.status_code == 200, done.text
    await killed_and_back(shop, held)
    await shop.settles()


@pytest.mark.parametrize(("method", "path", "when"), LOST)
async def test_killed_between_two_phases_a_lost_dispute_ends_it_once(
    apart: Shop, method: str, path: str, when: str
) -> None:
    ada = apart.person()
    charge = await charge_of(apart, await bought(apart, ada))
    dispute = (await apart.stripe.post(f"/_sandbox/charges/{charge}/dispute", json={})).json()["id"]
    await apart.settles()

    fault = {"method": method, "path": path, "when": when}
    await killed_at(apart, f"disputes/{dispute}", {"status": "lost"}, fault)

    assert await why(apart, ada) == (False, "dispute_lost")
    (held,) = (await apart.overview(ada))["subscriptions"]
    assert (await apart.at_stripe(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await apart.at_stripe("/v1/refunds"))["data"] == []
    assert [action for action, _, _ in await audited(apart)].count("dispute.lost") == 1


@pytest.mark.parametrize(("method", "path", "when"), WARNED)
async def test_killed_between_two_phases_a_warning_of_fraud_is_refunded_once(
    apart: Shop, method: str, path: str, when: str
) -> None:
    ada = apart.person()
    charge = await charge_of(apart, await bought(apart, ada))

    await killed_at(apart, f"charges/{charge}/warn", {}, {"method": method, "path": path, "when": when})

    assert (await why(apart, ada))[0] is False
    (given,) = (await apart.at_stripe("/v1/refunds"))["data"]
    assert given["amount"] == 49_00
    (ours,) = await apart.rows("SELECT basis, status, stripe_refund_id FROM refunds")
    assert tuple(ours.values()) == ("fraud_warning", "succeeded", given["id"])
    (held,) = (await apart.overview(ada))["subscriptions"]
    assert (await apart.at_stripe(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    told = [action for action, _, _ in await audited(apart)]
    assert (told.count("fraud_warning.acted"), told.count("refund.confirmed")) == (1, 1)
