"""A response that breaks off in the middle of its body means that Stripe is unavailable."""

from datetime import timedelta

import pytest

from app.domain.errors import StripeUnavailable
from app.gateway import customers
from app.gateway.client import Gateway
from tests.support.sandbox import Sandbox


@pytest.mark.parametrize("action", ["cut", "stall"])
async def test_a_body_that_breaks_off_means_stripe_is_unavailable(sandbox: Sandbox, key: str, action: str) -> None:
    gateway = Gateway(url=sandbox.url, api_key=key, timeout=timedelta(seconds=0.5), retries=0)
    sandbox.fault(key, path="/v1/customers*", action=action, seconds=30, times=2)
    try:
        with pytest.raises(StripeUnavailable):
            await customers.create(gateway, {"name": "Ada"}, key="ada")
        with pytest.raises(StripeUnavailable):
            await customers.find(gateway, email="ada@example.com", subscriber_id="rdr_1")
    finally:
        await gateway.close()


async def test_a_body_that_breaks_off_is_requested_again_with_the_same_key(
    gateway: Gateway, sandbox: Sandbox, key: str
) -> None:
    sandbox.fault(key, method="POST", path="/v1/customers", action="cut", times=1)

    await customers.create(gateway, {"name": "Ada"}, key="ada")

    assert sandbox.requests(key, "POST", "/v1/customers") == ["POST /v1/customers"], "the repeat was a replay"
