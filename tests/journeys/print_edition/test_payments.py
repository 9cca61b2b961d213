"""The payment of print that is added: on its way for days, too late, or refused."""

from datetime import timedelta

from tests.journeys.print_edition.test_print_edition import DIGITAL, MONTH_FIVE, PRINT
from tests.support.labels import HOME
from tests.support.print_edition import items, print_invoices, put, quote, use_card
from tests.support.shop import Shop

DEBITED = timedelta(days=5)


async def _pay_by_debit(shop: Shop, method: str) -> None:
    """Let the reader's subscription be paid by bank debits, which take some days."""
    settings = {"payment_methods": ["card", "us_bank_account"], "debit_seconds": int(DEBITED.total_seconds())}
    answer = await shop.stripe.put("/_sandbox/settings", json=settings)
    assert answer.status_code == 200, answer.text
    await use_card(shop, method)


async def test_a_bank_debit_is_awaited_without_a_page_to_confirm_it(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(MONTH_FIVE)
    await _pay_by_debit(shop, "pm_usBankAccount_success")
    quoted = await quote(shop, ada)

    answer = await put(shop, ada, enabled=True, amount=quoted["amount"]["amount"], address=HOME)
    await shop.advance_to(MONTH_FIVE + timedelta(hours=30))
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(due_at > now() + interval '30 minutes') FROM print_changes")

    assert (answer.status_code, answer.json()["status"], answer.json()["pay_url"]) == (202, "awaiting_payment", None)
    assert (await quote(shop, ada))["change"]["pay_url"] is None
    (row,) = await shop.rows("SELECT attempts, last_error FROM print_changes")
    assert tuple(row.values()) == (0, None)
    assert await shop.rows("SELECT * FROM anomalies") == []

    await shop.advance_to(MONTH_FIVE + DEBITED + timedelta(days=1))

    (invoice,) = await print_invoices(shop)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", quoted["amount"]["amount"])
    assert await items(shop) == [DIGITAL, PRINT]
    assert await shop.rows("SELECT * FROM anomalies") == []
