"""The service is killed between the steps that return credit to the balance or take it out; each still happens once."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import httpx2
import pytest

from tests.journeys.lifecycle.test_manual_changes_at_stripe import customer_of
from tests.journeys.refunds.test_credits import balance, check_notes, drop_print, refunded, subscribe_with_credit
from tests.support.crashes import kill_and_restart
from tests.support.refunds import GUARANTEE, get_quotes, payment_ids
from tests.support.shop import START_TIME, Shop

Step = tuple[str, str, str]
RETURNED: Step = ("POST", "/v1/credit_notes", "after")
TAKEN: Step = ("POST", "/v1/customers/{customer}/balance_transactions", "after")
DELETED: Step = ("DELETE", "/v1/invoiceitems/*", "after")
RETURN_STEPS = (("DELETE", "/v1/subscriptions/*", "after"), ("POST", "/v1/credit_notes", "before"), RETURNED)
RECLAIM_STEPS = (
    ("GET", "/v1/customers/{customer}/balance_transactions", "after"),
    ("POST", "/v1/customers/{customer}/balance_transactions", "before"),
    TAKEN,
    ("POST", "/v1/refunds", "before"),
    ("POST", "/v1/refunds", "after"),
)

pytestmark = pytest.mark.slow
UNBILLED_STEPS = (("GET", "/v1/invoiceitems", "after"), ("DELETE", "/v1/invoiceitems/*", "before"), DELETED)


async def hold_at(shop: Shop, step: Step, customer: str) -> str:
    """Hold the service at a step, and return the ID of the fault."""
    method, path, when = step
    return await shop.add_fault(method=method, path=path.format(customer=customer), when=when, action="hold", times=1)


async def return_at_steps(shop: Shop, steps: Sequence[Step]) -> None:
    """For each step, refund a reader whose invoice the balance paid in part, and kill the service there."""
    for number, step in enumerate(steps):
        reader = shop.person(f"reader-{number}")
        await subscribe_with_credit(shop, reader, 20_00)
        (payment,) = await payment_ids(shop, reader)
        fault = await hold_at(shop, step, await customer_of(shop, reader))
        click = asyncio.create_task(shop.request_refund(payment, key=f"click-{number}", amount=29_00))
        await kill_and_restart(shop, fault)
        with contextlib.suppress(httpx2.TransportError):
            await click
        await shop.wait_until_idle()

        assert await refunded(shop, reader) == {GUARANTEE: 29_00}, step
        assert await balance(shop, reader) == 20_00, step
        assert [note["total"] for note in await check_notes(shop, reader)].count(20_00) == 1, step


async def drop_print_at_steps(shop: Shop, steps: Sequence[Step], behavior: str) -> None:
    """For each step, end a subscription with an unspent proration credit, and kill the service there."""
    readers = [shop.person(f"reader-{number}") for number in range(len(steps))]
    for reader in readers:
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(START_TIME + timedelta(days=100))
    for reader, step in zip(readers, steps, strict=True):
        await drop_print(shop, reader, behavior)
        (payment,) = await payment_ids(shop, reader)
        before = (await get_quotes(shop, payment))["goodwill"]["amount"]["amount"]
        fault = await hold_at(shop, step, await customer_of(shop, reader))
        leaves = asyncio.create_task(shop.post("/v1/me/subscription/cancel", reader, {"when": "now"}))
        await kill_and_restart(shop, fault)
        with contextlib.suppress(httpx2.TransportError):
            await leaves
        await shop.wait_until_idle()

        given = await refunded(shop, reader)
        assert given.keys() == {"unspent_credit"}, step
        assert await balance(shop, reader) == 0, step
        after = (await get_quotes(shop, payment))["goodwill"]["amount"]["amount"]
        assert after == 73_00 - given["unspent_credit"], step
        assert before == (after if behavior == "always_invoice" else 73_00), step


async def test_the_balance_gets_its_part_back_once_if_killed_after_the_credit_note(killable_shop: Shop) -> None:
    await return_at_steps(killable_shop, [RETURNED])


async def test_an_unspent_credit_is_refunded_once_if_killed_after_it_was_taken(killable_shop: Shop) -> None:
    await drop_print_at_steps(killable_shop, [TAKEN], "always_invoice")


async def test_an_unbilled_credit_is_refunded_once_if_killed_after_it_was_deleted(killable_shop: Shop) -> None:
    await drop_print_at_steps(killable_shop, [DELETED], "create_prorations")


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_the_balance_gets_its_part_back_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await return_at_steps(killable_shop, RETURN_STEPS)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_an_unspent_credit_is_refunded_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await drop_print_at_steps(killable_shop, RECLAIM_STEPS, "always_invoice")


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_an_unbilled_credit_is_refunded_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await drop_print_at_steps(killable_shop, UNBILLED_STEPS, "create_prorations")
