"""Invoices made by hand, and the items on them."""

import pytest
import stripe

from tests.sandbox.shop import HOUR, OPENING, YEAR, Shop


async def test_an_invoice_item_waits_for_the_next_renewal(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    await shop.v1.invoice_items.create_async(
        {"customer": customer.id, "amount": 700, "currency": "usd", "description": "Postage"}
    )
    await shop.wind(clock, OPENING + YEAR + HOUR)
    renewal = await shop.v1.invoices.retrieve_async(
        (await shop.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    )
    assert [(line.description, line.amount) for line in renewal.lines.data] == [
        ("Postage", 700),
        ("1 × Magazine", 4900),
    ]
    assert (renewal.total, renewal.status) == (5600, "paid")


async def test_an_invoice_item_that_is_deleted_is_never_billed(shop: Shop) -> None:
    customer = await shop.customer()
    item = await shop.v1.invoice_items.create_async({"customer": customer.id, "amount": 700, "currency": "usd"})
    assert [each.id for each in (await shop.v1.invoice_items.list_async({"customer": customer.id})).data] == [item.id]
    assert (await shop.v1.invoice_items.delete_async(item.id)).deleted
    subscription = await shop.subscribe(customer=customer, expand=["latest_invoice"])
    assert subscription.latest_invoice.total == 4900


async def test_a_draft_takes_items_until_it_is_final_and_is_paid(shop: Shop) -> None:
    await shop.settings(tax_rate=10)
    customer = await shop.customer()
    draft = await shop.v1.invoices.create_async({"customer": customer.id, "automatic_tax": {"enabled": True}})
    assert (draft.status, draft.billing_reason, draft.total) == ("draft", "manual", 0)
    item = {"customer": customer.id, "invoice": draft.id, "currency": "usd"}
    first = await shop.v1.invoice_items.create_async({**item, "amount": 700, "description": "A back issue"})
    second = await shop.v1.invoice_items.create_async({**item, "amount": 300})
    assert (await shop.v1.invoices.retrieve_async(draft.id)).total == 1100
    await shop.v1.invoice_items.delete_async(second.id)
    await shop.v1.invoice_items.update_async(first.id, {"amount": 500})
    final = await shop.v1.invoices.finalize_invoice_async(draft.id)
    assert (final.status, final.total, final.total_taxes[0].amount) == ("open", 550, 50)
    with pytest.raises(stripe.InvalidRequestError, match="unless the invoice is a draft"):
        await shop.v1.invoice_items.delete_async(first.id)
    assert (await shop.v1.invoices.pay_async(draft.id)).status == "paid"


async def test_a_draft_that_advances_by_itself_is_charged_after_an_hour(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    await shop.v1.invoice_items.create_async({"customer": customer.id, "amount": 700, "currency": "usd"})
    draft = await shop.v1.invoices.create_async(
        {"customer": customer.id, "auto_advance": True, "pending_invoice_items_behavior": "include"}
    )
    assert (draft.total, draft.automatically_finalizes_at) == (700, OPENING + HOUR)
    await shop.wind(clock, OPENING + HOUR)
    assert (await shop.v1.invoices.retrieve_async(draft.id)).status == "paid"


async def test_an_open_invoice_is_written_off_or_voided_and_a_draft_deleted(shop: Shop) -> None:
    customer = await shop.customer()
    made = []
    for _ in range(3):
        draft = await shop.v1.invoices.create_async({"customer": customer.id})
        await shop.v1.invoice_items.create_async(
            {"customer": customer.id, "invoice": draft.id, "amount": 700, "currency": "usd"}
        )
        made.append(draft.id)
    assert (await shop.v1.invoices.delete_async(made[0])).deleted
    await shop.v1.invoices.update_async(made[1], {"metadata": {"why": "a test"}, "description": "Back issues"})
    for invoice in made[1:]:
        await shop.v1.invoices.finalize_invoice_async(invoice)
    written_off = await shop.v1.invoices.mark_uncollectible_async(made[1])
    assert (written_off.status, written_off.metadata.to_dict()) == ("uncollectible", {"why": "a test"})
    assert (await shop.v1.invoices.void_invoice_async(made[2])).status == "void"
    assert (await shop.v1.invoices.pay_async(made[1])).status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        await shop.v1.invoices.delete_async(made[2])
    assert {"invoice.deleted", "invoice.marked_uncollectible", "invoice.voided"} <= set(await shop.types())
