"""Refunds and credit notes."""

import asyncio
from typing import Any

import pytest
import stripe

from tests.sandbox.client import SandboxAccount
from tests.support.timeouts import TIMEOUT


async def paid_invoice(account: SandboxAccount, method: str = "pm_card_visa", **more: Any) -> tuple[str, str]:
    """Return the IDs of a paid invoice and its payment intent."""
    subscription = await account.subscribe(customer=await account.customer(method=method), **more)
    return subscription.latest_invoice, (await account.payment_intent_of(subscription.latest_invoice)).id


async def test_a_refund_updates_the_charge_and_sends_events(account: SandboxAccount) -> None:
    invoice, intent = await paid_invoice(account)
    refund = await account.v1.refunds.create_async(
        {
            "payment_intent": intent,
            "amount": 1000,
            "reason": "requested_by_customer",
            "metadata": {"refund": "rfd_1"},
            "expand": ["charge"],
        }
    )
    assert (refund.status, refund.amount, refund.metadata.to_dict()) == ("succeeded", 1000, {"refund": "rfd_1"})
    assert (refund.charge.amount_refunded, refund.charge.refunded) == (1000, False)
    assert (await account.v1.invoices.retrieve_async(invoice)).status == "paid"
    rest = await account.v1.refunds.create_async({"charge": refund.charge.id})
    assert rest.amount == 3900
    charge = await account.v1.charges.retrieve_async(refund.charge.id, {"expand": ["refunds"]})
    assert charge.refunded
    assert [each.id for each in charge.refunds.data] == [rest.id, refund.id]
    assert (await account.types()).count("charge.refunded") == 2
    found = await account.v1.refunds.list_async({"payment_intent": intent})
    assert [each.id for each in found.data] == [rest.id, refund.id]


@pytest.mark.parametrize(
    ("params", "code", "expected"),
    [
        pytest.param({"amount": 5000}, None, r"greater than unrefunded amount on charge \(\$49.00\)", id="too much"),
        pytest.param({"amount": 0}, "parameter_invalid_integer", "Invalid positive integer", id="nothing"),
        pytest.param({"payment_intent": "pi_x"}, "resource_missing", "No such payment_intent: 'pi_x'", id="unknown"),
    ],
)
async def test_invalid_refunds_are_rejected(
    account: SandboxAccount, params: dict[str, Any], code: str | None, expected: str
) -> None:
    _, intent = await paid_invoice(account)
    with pytest.raises(stripe.InvalidRequestError, match=expected) as caught:
        await account.v1.refunds.create_async({"payment_intent": intent, **params})
    assert (caught.value.http_status, caught.value.code) == (400, code)


async def test_a_refund_requires_a_charge_or_a_payment_intent(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="payment_intent or charge"):
        await account.v1.refunds.create_async({"amount": 100})


async def test_a_charge_can_be_refunded_only_once(account: SandboxAccount) -> None:
    _, intent = await paid_invoice(account)
    await account.v1.refunds.create_async({"payment_intent": intent})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.refunds.create_async({"payment_intent": intent})
    assert caught.value.code == "charge_already_refunded"


async def test_the_same_idempotency_key_refunds_once(account: SandboxAccount) -> None:
    _, intent = await paid_invoice(account)
    refunds = [
        await account.v1.refunds.create_async({"payment_intent": intent, "amount": 100}, {"idempotency_key": "rfd_1"})
        for _ in range(3)
    ]
    assert len({refund.id for refund in refunds}) == 1
    assert len((await account.v1.refunds.list_async()).data) == 1


async def test_only_the_metadata_of_a_refund_can_change(account: SandboxAccount) -> None:
    _, intent = await paid_invoice(account)
    refund = await account.v1.refunds.create_async({"payment_intent": intent})
    assert (await account.v1.refunds.update_async(refund.id, {"metadata": {"a": "1"}})).metadata.to_dict() == {"a": "1"}
    assert (await account.event("refund.updated")).data.object.metadata.to_dict() == {"a": "1"}
    with pytest.raises(stripe.InvalidRequestError, match="cannot be canceled"):
        await account.v1.refunds.cancel_async(refund.id)


@pytest.mark.parametrize(
    ("method", "first", "later"),
    [
        pytest.param("pm_card_pendingRefund", "pending", "succeeded", id="pends, then succeeds"),
        pytest.param("pm_card_refundFail", "succeeded", "failed", id="succeeds, then fails"),
    ],
)
async def test_test_cards_can_change_the_status_of_a_refund_later(
    account: SandboxAccount, method: str, first: str, later: str
) -> None:
    await account.settings(refund_seconds=1)
    _, intent = await paid_invoice(account, method)
    refund = await account.v1.refunds.create_async({"payment_intent": intent})
    assert refund.status == first
    async with asyncio.timeout(TIMEOUT):
        while (await account.v1.refunds.retrieve_async(refund.id)).status != later:
            await asyncio.sleep(0.05)
    failed = later == "failed"
    assert ("refund.failed" in await account.types()) == failed
    assert (await account.event("refund.updated")).data.previous_attributes.status == first
    charge = await account.v1.charges.retrieve_async(refund.charge)
    assert (charge.amount_refunded, charge.refunded) == ((0, False) if failed else (4900, True))


async def test_a_refund_that_requires_action_can_be_canceled(account: SandboxAccount) -> None:
    _, intent = await paid_invoice(account, "pm_card_pendingRefund")
    refund = await account.v1.refunds.create_async({"payment_intent": intent, "amount": 1000})

    async def set_status(status: str) -> int:
        return (await account.request("POST", f"/_sandbox/refunds/{refund.id}", json={"status": status})).status_code

    assert [await set_status(status) for status in ("canceled", "requires_action", "requires_action")] == [
        400,
        200,
        400,
    ]
    assert (await account.event("refund.updated")).data.previous_attributes.status == "pending"
    assert (await account.v1.refunds.cancel_async(refund.id)).status == "canceled"
    charge = await account.v1.charges.retrieve_async(refund.charge)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert await set_status("succeeded") == 400
    assert "refund.failed" not in await account.types()


async def test_a_credit_note_can_link_an_existing_refund(account: SandboxAccount) -> None:
    invoice, intent = await paid_invoice(account)
    refund = await account.v1.refunds.create_async({"payment_intent": intent, "amount": 1500})
    note = await account.v1.credit_notes.create_async(
        {
            "invoice": invoice,
            "amount": 1500,
            "refunds": [{"refund": refund.id, "amount_refunded": 1500}],
            "reason": "order_change",
            "metadata": {"refund": "rfd_1"},
        }
    )
    assert (note.status, note.type, note.total, note.post_payment_amount) == ("issued", "post_payment", 1500, 1500)
    assert [(each.refund, each.amount_refunded) for each in note.refunds] == [(refund.id, 1500)]
    assert (await account.v1.invoices.retrieve_async(invoice)).post_payment_credit_notes_amount == 1500
    assert [each.id for each in (await account.v1.credit_notes.list_async({"invoice": invoice})).data] == [note.id]
    assert "credit_note.created" in await account.types()
    assert len((await account.v1.refunds.list_async()).data) == 1


async def test_a_credit_note_can_create_the_refund(account: SandboxAccount) -> None:
    invoice, _ = await paid_invoice(account)
    note = await account.v1.credit_notes.create_async(
        {"invoice": invoice, "amount": 4900, "refund_amount": 4900, "expand": ["refunds.refund"]}
    )
    assert (note.refunds[0].refund.amount, note.refunds[0].refund.status) == (4900, "succeeded")


async def test_a_credit_note_for_a_line_includes_its_share_of_the_tax(account: SandboxAccount) -> None:
    await account.settings(tax_rate=10)
    price = await account.price(tax_behavior="exclusive")
    invoice, _ = await paid_invoice(account, price=price, automatic_tax={"enabled": True})
    line = (await account.v1.invoices.retrieve_async(invoice)).lines.data[0]
    note = await account.v1.credit_notes.create_async(
        {
            "invoice": invoice,
            "lines": [{"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 2450}],
            "refund_amount": 2695,
        }
    )
    assert (note.subtotal, note.total, note.total_taxes[0].amount) == (2450, 2695, 245)
    by_amount = await account.v1.credit_notes.create_async({"invoice": invoice, "amount": 1078, "refund_amount": 1078})
    assert (by_amount.total, by_amount.total_excluding_tax, by_amount.total_taxes[0].amount) == (1078, 980, 98)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({}, "exactly one of", id="neither amount nor lines"),
        pytest.param({"amount": 1, "lines": [{"type": "custom_line_item"}]}, "exactly one of", id="both"),
        pytest.param({"amount": 0, "refund_amount": 0}, "greater than zero", id="nothing"),
        pytest.param({"amount": 5000, "refund_amount": 5000}, "cannot be greater", id="more than the invoice"),
        pytest.param(
            {"amount": 100, "refund_amount": 99}, "must equal the post payment credit amount: 100", id="unequal"
        ),
        pytest.param({"amount": 100}, "must equal", id="money that goes nowhere"),
        pytest.param({"amount": 100, "refunds": [{"refund": "re_x"}]}, "No such refund", id="unknown refund"),
        pytest.param(
            {"lines": [{"type": "invoice_line_item", "invoice_line_item": "il_x", "amount": 1}], "refund_amount": 1},
            "No such invoice line item",
            id="unknown line",
        ),
    ],
)
async def test_invalid_credit_notes_are_rejected(
    account: SandboxAccount, params: dict[str, Any], expected: str
) -> None:
    invoice, _ = await paid_invoice(account)
    with pytest.raises(stripe.InvalidRequestError, match=expected):
        await account.v1.credit_notes.create_async({"invoice": invoice, **params})
    assert (await account.v1.refunds.list_async()).data == []


async def test_a_refund_can_be_linked_once_and_only_to_its_own_invoice(account: SandboxAccount) -> None:
    invoice, intent = await paid_invoice(account)
    other, _ = await paid_invoice(account)
    refund = await account.v1.refunds.create_async({"payment_intent": intent, "amount": 1000})
    linked = {"amount": 1000, "refunds": [{"refund": refund.id, "amount_refunded": 1000}]}
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        await account.v1.credit_notes.create_async({"invoice": other, **linked})
    await account.v1.credit_notes.create_async({"invoice": invoice, **linked})
    with pytest.raises(stripe.InvalidRequestError, match="can still be credited"):
        await account.v1.credit_notes.create_async({"invoice": invoice, **linked})


async def test_a_credit_note_for_an_open_invoice_reduces_the_amount_due(account: SandboxAccount) -> None:
    subscription = await account.subscribe(payment_behavior="default_incomplete")
    note = await account.v1.credit_notes.create_async({"invoice": subscription.latest_invoice, "amount": 900})
    assert note.type == "pre_payment"
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).amount_remaining == 4000
    voided = await account.v1.credit_notes.void_credit_note_async(note.id)
    assert voided.status == "void"
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).amount_remaining == 4900
    assert "credit_note.voided" in await account.types()


async def test_a_credit_note_for_a_paid_invoice_cannot_be_voided(account: SandboxAccount) -> None:
    invoice, _ = await paid_invoice(account)
    note = await account.v1.credit_notes.create_async({"invoice": invoice, "amount": 900, "refund_amount": 900})
    with pytest.raises(stripe.InvalidRequestError, match="of an open invoice"):
        await account.v1.credit_notes.void_credit_note_async(note.id)
