"""A response of Stripe that breaks off in the middle of its body counts as "Stripe unavailable": nothing fails for good."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.failing_stripe import click_until, wait_for_failed_event
from tests.support.shop import Shop, open_shop


@pytest.fixture
async def patient_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose calls to Stripe time out after a second, and whose events may fail twice."""
    async with open_shop(database, sandbox, issuer, stripe_timeout=timedelta(seconds=1), event_attempts=2) as opened:
        yield opened


@pytest.mark.parametrize("action", ["cut", "stall"])
async def test_a_checkout_answers_503_and_works_with_the_next_click(patient_shop: Shop, action: str) -> None:
    shop, ada = patient_shop, patient_shop.person()
    fault = await shop.add_fault(method="POST", path="/v1/checkout/sessions", action=action, seconds=30, times=None)

    broken = await shop.open_checkout(ada)

    assert (broken.status_code, broken.json()["code"]) == (503, "stripe_unavailable"), broken.text
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await click_until(lambda: shop.open_checkout(ada), 201)
    assert len((await shop.stripe_get("/v1/checkout/sessions"))["data"]) == 1, "the same key, so the same session"


async def test_a_worker_that_reads_half_a_response_tries_again_later(patient_shop: Shop) -> None:
    shop, ada = patient_shop, patient_shop.person()
    opened = (await click_until(lambda: shop.open_checkout(ada), 201)).json()
    fault = await shop.add_fault(method="GET", path="/v1/subscriptions/*", action="cut", times=None)
    await shop.pay_checkout(opened["url"])

    for _ in range(4):  # more often than an event may fail
        await wait_for_failed_event(shop)
        await shop.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()
    assert await shop.rows("SELECT * FROM events WHERE state = 'dead'") == []
    assert await shop.may_read(ada)
