"""Manual invoices and invoice items."""

import pytest
import stripe

from tests.sandbox.client import HOUR, OPENING, YEAR, SandboxAccount


async def test_a_pending_invoice_item_is_billed_at_the_next_renewal(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    await account.v1.invoice_items.create_async(
        {"customer": customer.id, "amount": 700, "currency": "usd", "description": "Postage"}
    )
    await account.advance(clock, OPENING + YEAR + HOUR)
    renewal = await account.v1.invoices.retrieve_async(
        (await account.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    )
    assert [(line.description, line.amount) for line in renewal.lines.data] == [
        ("Postage", 700),
        ("1 × Magazine", 4900),
    ]
    assert (renewal.total, renewal.status) == (5600, "paid")


async def test_a_deleted_invoice_item_is_never_billed(account: SandboxAccount) -> None:
    customer = await account.customer()
    item = await account.v1.invoice_items.create_async({"customer": customer.id, "amount": 700, "currency": "usd"})
    assert [each.id for each in (await account.v1.invoice_items.list_async({"customer": customer.id})).data] == [
        item.id
    ]
    assert (await account.v1.invoice_items.delete_async(item.id)).deleted
    subscription = await account.subscribe(customer=customer, expand=["latest_invoice"])
    assert subscription.latest_invoice.total == 4900


async def test_a_draft_accepts_items_until_it_is_finalized(account: SandboxAccount) -> None:
    await account.settings(tax_rate=10)
    customer = await account.customer()
    draft = await account.v1.invoices.create_async({"customer": customer.id, "automatic_tax": {"enabled": True}})
    assert (draft.status, draft.billing_reason, draft.total) == ("draft", "manual", 0)
    item = {"customer": customer.id, "invoice": draft.id, "currency": "usd"}
    first = await account.v1.invoice_items.create_async({**item, "amount": 700, "description": "A back issue"})
    second = await account.v1.invoice_items.create_async({**item, "amount": 300})
    assert (await account.v1.invoices.retrieve_async(draft.id)).total == 1100
    await account.v1.invoice_items.delete_async(second.id)
    await account.v1.invoice_items.update_async(first.id, {"amount": 500})
    final = await account.v1.invoices.finalize_invoice_async(draft.id)
    assert (final.status, final.total, final.total_taxes[0].amount) == ("open", 550, 50)
    with pytest.raises(stripe.InvalidRequestError, match="unless the invoice is a draft"):
        await account.v1.invoice_items.delete_async(first.id)
    assert (await account.v1.invoices.pay_async(draft.id)).status == "paid"


async def test_an_extra_invoice_of_a_subscription_bills_only_its_own_items_as_previewed(
    account: SandboxAccount,
) -> None:
    await account.settings(tax_rate=10)
    customer = await account.customer()
    price = await account.price()
    subscription = await account.subscribe(customer=customer, price=price)
    await account.v1.invoice_items.create_async({"customer": customer.id, "amount": 700, "currency": "usd"})
    line = {
        "price_data": {
            "currency": "usd",
            "product": price.product,
            "unit_amount": 1200,
            "tax_behavior": "exclusive",
        },
        "quantity": 1,
        "discountable": False,
        "period": {"start": OPENING, "end": OPENING + YEAR},
        "metadata": {"kind": "extra"},
    }
    taxed = {"automatic_tax": {"enabled": True}}
    preview = await account.v1.invoices.create_preview_async(
        {"subscription": subscription.id, "invoice_items": [line], **taxed}
    )
    (shown,) = (one for one in preview.lines.data if "kind" in one.metadata)
    draft = await account.v1.invoices.create_async(
        {"customer": customer.id, "subscription": subscription.id, "pending_invoice_items_behavior": "exclude", **taxed}
    )
    assert (draft.status, draft.billing_reason, draft.total) == ("draft", "manual", 0)
    assert draft.parent.subscription_details.subscription == subscription.id
    await account.v1.invoice_items.create_async({**line, "customer": customer.id, "invoice": draft.id})
    final = await account.v1.invoices.finalize_invoice_async(draft.id)

    (billed,) = final.lines.data
    assert (billed.amount, billed.taxes[0].amount) == (shown.amount, shown.taxes[0].amount) == (1200, 120)
    assert (billed.period.start, billed.pricing.price_details.product) == (OPENING, price.product)
    assert (final.status, final.total) == ("open", 1320)
    assert (await account.v1.invoices.pay_async(draft.id)).status == "paid"
    pending = await account.v1.invoice_items.list_async({"customer": customer.id, "pending": True})
    assert [item.amount for item in pending.data] == [700]
    with pytest.raises(stripe.InvalidRequestError, match="without a subscription"):
        await account.v1.invoices.delete_async(draft.id)


async def test_a_draft_with_auto_advance_is_charged_after_an_hour(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    await account.v1.invoice_items.create_async({"customer": customer.id, "amount": 700, "currency": "usd"})
    draft = await account.v1.invoices.create_async(
        {"customer": customer.id, "auto_advance": True, "pending_invoice_items_behavior": "include"}
    )
    assert (draft.total, draft.automatically_finalizes_at) == (700, OPENING + HOUR)
    await account.advance(clock, OPENING + HOUR)
    assert (await account.v1.invoices.retrieve_async(draft.id)).status == "paid"


async def test_open_invoices_can_be_marked_uncollectible_or_voided_and_drafts_deleted(account: SandboxAccount) -> None:
    customer = await account.customer()
    made = []
    for _ in range(3):
        draft = await account.v1.invoices.create_async({"customer": customer.id})
        await account.v1.invoice_items.create_async(
            {"customer": customer.id, "invoice": draft.id, "amount": 700, "currency": "usd"}
        )
        made.append(draft.id)
    assert (await account.v1.invoices.delete_async(made[0])).deleted
    await account.v1.invoices.update_async(made[1], {"metadata": {"why": "a test"}, "description": "Back issues"})
    for invoice in made[1:]:
        await account.v1.invoices.finalize_invoice_async(invoice)
    written_off = await account.v1.invoices.mark_uncollectible_async(made[1])
    assert (written_off.status, written_off.metadata.to_dict()) == ("uncollectible", {"why": "a test"})
    assert (await account.v1.invoices.void_invoice_async(made[2])).status == "void"
    assert (await account.v1.invoices.pay_async(made[1])).status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        await account.v1.invoices.delete_async(made[2])
    assert {"invoice.deleted", "invoice.marked_uncollectible", "invoice.voided"} <= set(await account.types())
