"""The service is killed between the phases of a refund or an approval, on any basis; each is paid once."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.journeys.refunds.test_paid_once import readers, request_pending_goodwill, supervisors
from tests.support.crashes import kill_and_restart
from tests.support.refunds import GOODWILL, UNSERVED, check_books, decide_refund, request_refund
from tests.support.shop import Person, Shop

pytestmark = pytest.mark.slow

Step = tuple[str, str, str]
Read = tuple[Person, str, int]  # a reader, their payment, and the value of its unserved issues
ASKED: Step = ("GET", "/v1/payment_intents/*", "before")
UNPAID: Step = ("POST", "/v1/refunds", "before")
PAID: Step = ("POST", "/v1/refunds", "after")
UNCREDITED: Step = ("POST", "/v1/credit_notes", "before")
CREDITED: Step = ("POST", "/v1/credit_notes", "after")
UNCANCELLED: Step = ("DELETE", "/v1/subscriptions/*", "before")
CANCELLED: Step = ("DELETE", "/v1/subscriptions/*", "after")
PAYING = (ASKED, UNPAID, PAID, UNCREDITED, CREDITED)


async def request_and_kill(shop: Shop, payment: str, basis: str, amount: int, moment: Step, *, key: str) -> None:
    """Request a refund, kill the service, and request it again."""
    method, path, when = moment
    fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)
    click = asyncio.create_task(request_refund(shop, payment, basis, amount, key=key))
    await kill_and_restart(shop, fault, click=click)
    again = await request_refund(shop, payment, basis, amount, key=key)
    assert again.status_code in {201, 202} or again.json()["code"] == "idempotency_key_in_use", again.text
    await shop.wait_until_idle()


async def check_ended(shop: Shop, reader: Person) -> None:
    """Check that a reader's access ended and their subscription was canceled at Stripe."""
    assert (await shop.check(reader))["reason"] == "refunded"
    (held,) = (await shop.overview(reader))["subscriptions"]
    assert (held["ended_by"], held["terms"][0]["refunded_as"]) == (UNSERVED, UNSERVED)
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"


async def refund_unserved_at(shop: Shop, read: Sequence[Read], moments: Sequence[Step]) -> None:
    """Refund unserved issues, to one reader for each step."""
    for (reader, payment, worth), moment in zip(read, moments, strict=True):
        await request_and_kill(shop, payment, UNSERVED, worth, moment, key=payment)
        assert await check_books(shop, payment) == worth, moment
        await check_ended(shop, reader)


async def refund_in_parts_at(shop: Shop, read: Read, moments: Sequence[Step]) -> None:
    """Refund a payment in parts, and kill the service during each."""
    reader, payment, _ = read
    for number, moment in enumerate(moments, start=1):
        await request_and_kill(shop, payment, GOODWILL, 5_00, moment, key=f"part-{number}")
        assert await check_books(shop, payment) == number * 5_00, moment
    assert await shop.may_read(reader)


async def approve_at(shop: Shop, read: Sequence[Read], moments: Sequence[Step]) -> None:
    """Approve a refund, and kill the service before or after the payment."""
    boss, chief = supervisors(shop)
    for (reader, payment, _), (method, path, when) in zip(read, moments, strict=True):
        refund = await request_pending_goodwill(shop, payment, 40_00, key=payment)
        fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)
        click = asyncio.create_task(decide_refund(shop, refund, "approve", boss))
        await kill_and_restart(shop, fault, click=click)
        again, late = await asyncio.gather(
            decide_refund(shop, refund, "approve", boss), decide_refund(shop, refund, "reject", chief)
        )
        await shop.wait_until_idle()

        assert again.status_code in {201, 202} or again.json()["code"] == "idempotency_key_in_use", again.text
        assert (late.status_code, late.json()["code"]) == (409, "not_awaiting_approval")
        assert await check_books(shop, payment) == 40_00, (method, path, when)
        assert await shop.may_read(reader)
        approved = await shop.rows(
            "SELECT id FROM audit_log WHERE object_id = $1 AND action = 'refund.approved'", refund
        )
        assert len(approved) == 1


async def test_each_basis_and_an_approval_are_paid_once_if_killed_at_critical_steps(killable_shop: Shop) -> None:
    ada, bea, cyd = await readers(killable_shop, "ada", "bea", "cyd")

    await refund_unserved_at(killable_shop, [ada], [PAID])
    await refund_in_parts_at(killable_shop, bea, [PAID])
    await approve_at(killable_shop, [cyd], [ASKED])


@pytest.mark.soak
@pytest.mark.parametrize("moment", [*PAYING, UNCANCELLED, CANCELLED], ids=" ".join)
async def test_unserved_issues_are_refunded_once_if_killed_at_any_step(killable_shop: Shop, moment: Step) -> None:
    await refund_unserved_at(killable_shop, await readers(killable_shop, "ada"), [moment])


@pytest.mark.soak
async def test_each_goodwill_refund_is_paid_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    (ada,) = await readers(killable_shop, "ada")
    await refund_in_parts_at(killable_shop, ada, PAYING)


@pytest.mark.soak
async def test_an_approved_refund_is_paid_once_if_killed_at_any_step(killable_shop: Shop) -> None:
    await approve_at(killable_shop, await readers(killable_shop, *(f"reader-{n}" for n in range(len(PAYING)))), PAYING)
