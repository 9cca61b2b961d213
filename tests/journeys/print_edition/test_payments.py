"""The payment of print that is added: on its way for days, too late, or refused."""

from datetime import timedelta

from tests.journeys.print_edition.test_print_edition import DIGITAL, MONTH_FIVE, PRINT
from tests.support.labels import HOME
from tests.support.print_edition import give_credit, items, print_invoices, put, quote, use_card
from tests.support.shop import START_TIME, Shop

DEBITED = timedelta(days=5)


async def _pay_by_debit(shop: Shop, method: str, *, takes: timedelta = DEBITED) -> None:
    """Let the reader's subscription be paid by bank debits, which take some days."""
    settings = {"payment_methods": ["card", "us_bank_account"], "debit_seconds": int(takes.total_seconds())}
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


async def test_a_debit_that_succeeds_after_the_end_is_refunded_and_ends_no_paid_term(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    end = START_TIME.replace(year=2027)
    await shop.advance_to(end - timedelta(days=40))
    canceled = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await _pay_by_debit(shop, "pm_usBankAccount_success", takes=timedelta(days=45))
    answer = await put(shop, ada, enabled=True, amount=(await quote(shop, ada))["amount"]["amount"], address=HOME)
    await shop.advance_to(end + timedelta(days=6))
    await shop.execute("UPDATE print_changes SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until("SELECT bool_and(status = 'failed') FROM print_changes")
    await shop.wait_until_idle()

    assert (canceled.status_code, answer.status_code) == (200, 202), (canceled.text, answer.text)
    (invoice,) = await print_invoices(shop)
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == invoice["amount_paid"]
    (term,) = await shop.rows("SELECT refunded_as, copies_ended_at FROM terms")
    assert tuple(term.values()) == (None, None)


async def test_a_debit_that_succeeds_after_the_renewal_pays_for_the_term_before(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada)
    end = START_TIME.replace(year=2027)
    await shop.advance_to(end - timedelta(days=40))
    await _pay_by_debit(shop, "pm_usBankAccount_success", takes=timedelta(days=45))
    answer = await put(shop, ada, enabled=True, amount=(await quote(shop, ada))["amount"]["amount"], address=HOME)
    await shop.advance_to(end + timedelta(days=6))
    await shop.wait_until_idle()
    await shop.advance_to(end + timedelta(days=50))  # the renewal is paid, too
    await shop.wait_until_idle()

    assert answer.status_code == 202, answer.text
    terms = await shop.rows("SELECT print_edition FROM terms ORDER BY starts_at")
    assert [term["print_edition"] for term in terms] == [True, False]
    (renewal,) = await shop.rows(
        "SELECT p.amount FROM payments p JOIN terms t USING (invoice_id) WHERE NOT t.print_edition"
    )
    (printed,) = await shop.rows("SELECT id FROM payments WHERE print_from IS NOT NULL")
    quotes = (await shop.get(f"/v1/support/payments/{printed['id']}/refund-quote", shop.agent)).json()["quotes"]
    assert [one["allowed"] for one in quotes if one["basis"] == "unserved_issues"] == [False], "not the renewal's"
    clerk, day = shop.person("finance", roles=("finance",)), (end + timedelta(days=50)).date()
    (books,) = (await shop.get("/v1/reports/liability", clerk, at=str(day))).json()["currencies"]
    delivered = renewal["amount"] * (50 + 1) // 366
    assert books["closing"] == renewal["amount"] - delivered, "print and the term before are earned"


async def test_print_that_was_paid_and_never_joined_is_refunded_when_the_reader_cancels(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(MONTH_FIVE)  # outside the guarantee
    await give_credit(shop, 2_00)
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    answer = await put(shop, ada, enabled=True, amount=quoted["amount"]["amount"], address=HOME)
    await shop.postpone("print_changes")

    canceled = await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'failed') FROM print_changes")
    await shop.wait_until_idle()

    assert (answer.status_code, canceled.status_code) == (202, 200), (answer.text, canceled.text)
    (invoice,) = await print_invoices(shop)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", quoted["amount"]["amount"])
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == quoted["amount"]["amount"] == quoted["total"]["amount"] - 2_00
    (customer,) = await shop.stripe_customers()
    assert customer["balance"] == -2_00
    (row,) = await shop.rows("SELECT failure_reason FROM print_changes")
    assert row["failure_reason"] == "subscription_ended"


async def test_a_draft_that_stripe_refuses_to_finalize_keeps_no_line(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.add_fault(method="POST", path="/v1/invoices/*/finalize", action="status", status=400, times=None)

    refused = await put(shop, ada, enabled=True, amount=23_00, address=HOME)
    await shop.wait_until_idle()

    assert (refused.status_code, refused.json()["code"]) == (409, "print_payment_failed"), refused.text
    (draft,) = await print_invoices(shop)
    assert (draft["status"], draft["total"], draft["lines"]["data"]) == ("draft", 0, [])
