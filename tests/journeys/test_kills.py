"""The service is killed between the phases of a refund, and comes back: one refund, whatever the moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.shop import PATIENCE, Shop, open_shop

MOMENTS = [
    pytest.param("POST", "/v1/refunds", "before", id="the intent is stored, and Stripe has not done it"),
    pytest.param("POST", "/v1/refunds", "after", id="Stripe has done it, and nothing is recorded"),
    pytest.param("POST", "/v1/credit_notes", "before", id="access has ended, and there is no credit note"),
    pytest.param("POST", "/v1/credit_notes", "after", id="the credit note is made, and not recorded"),
    pytest.param("DELETE", "/v1/subscriptions/*", "before", id="the cancellation is ordered, and not done"),
    pytest.param("DELETE", "/v1/subscriptions/*", "after", id="the cancellation is done, and not recorded"),
]


@pytest.fixture
async def apart(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A shop whose service is a process of its own."""
    async with open_shop(database, sandbox, issuer, apart=True) as opened:
        yield opened


async def is_hit(shop: Shop, fault: str) -> None:
    """Wait until a call has run into a fault."""
    async with asyncio.timeout(PATIENCE):
        while True:
            faults = (await shop.stripe.get("/_sandbox/faults")).json()["data"]
            if any(one["id"] == fault and one["hits"] for one in faults):
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("method", "path", "when"), MOMENTS)
async def test_killed_between_two_phases_a_refund_is_finished_once(
    apart: Shop, method: str, path: str, when: str
) -> None:
    assert apart.process is not None
    ada = apart.person()
    await apart.subscribes(ada)
    payment = (await apart.overview(ada))["payments"][0]["id"]
    fault = await apart.fault(method=method, path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(apart.refunds(payment))
    await is_hit(apart, fault)
    apart.process.kill()
    with contextlib.suppress(httpx2.TransportError):
        await click
    await apart.stripe.delete(f"/_sandbox/faults/{fault}")
    await apart.process.start()
    again = await apart.refunds(payment)
    await apart.settles()

    assert again.status_code in {201, 202} or again.json()["code"] == "idempotency_key_in_use", again.text
    (given,) = (await apart.at_stripe("/v1/refunds"))["data"]
    assert given["amount"] == 49_00
    (note,) = (await apart.at_stripe("/v1/credit_notes"))["data"]
    assert note["refunds"][0]["refund"] == given["id"]
    (ours,) = await apart.rows("SELECT status, amount, stripe_refund_id, credit_note_id FROM refunds")
    assert tuple(ours.values()) == ("succeeded", 49_00, given["id"], note["id"])
    (held,) = (await apart.overview(ada))["subscriptions"]
    assert (await apart.at_stripe(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert (await apart.check(ada))["reason"] == "refunded"
    confirmed = await apart.rows("SELECT count(*) FROM audit_log WHERE action = 'refund.confirmed'")
    assert confirmed[0]["count"] == 1


async def test_killed_while_a_reader_subscribes_nothing_is_made_twice(apart: Shop) -> None:
    assert apart.process is not None
    ada = apart.person()
    for method, path in (("POST", "/v1/customers"), ("POST", "/v1/checkout/sessions")):
        fault = await apart.fault(method=method, path=path, when="after", action="hold", times=1)
        click = asyncio.create_task(apart.opens_checkout(ada))
        await is_hit(apart, fault)
        apart.process.kill()
        with contextlib.suppress(httpx2.TransportError):
            await click
        await apart.stripe.delete(f"/_sandbox/faults/{fault}")
        await apart.process.start()

    await apart.subscribes(ada)

    assert len(await apart.customers()) == 1
    assert len((await apart.at_stripe("/v1/checkout/sessions"))["data"]) == 1
    assert await apart.may_read(ada)


async def test_an_event_that_was_answered_200_is_applied_though_the_service_is_killed_at_once(apart: Shop) -> None:
    assert apart.process is not None
    ada = apart.person()
    opened = (await apart.opens_checkout(ada)).json()
    fault = await apart.fault(method="GET", path="/v1/subscriptions/*", when="before", action="hold", times=1)
    await apart.fills_in(opened["url"])
    await is_hit(apart, fault)

    apart.process.kill()
    await apart.stripe.delete(f"/_sandbox/faults/{fault}")
    await apart.process.start()
    await apart.settles()

    assert await apart.may_read(ada)
