"""
A payment that added print is disputed or returned whole. It bought print, so print is on hold or ends, and nothing else.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journeys.disputes.test_disputes import bank_action, charge_of, open_dispute, policy_entries, support_list
from tests.support.crashes import kill_and_restart
from tests.support.labels import HOME, freeze, labels, preview, try_to_freeze
from tests.support.print_edition import change, give_credit, items, quote
from tests.support.refunds import UNSERVED, get_quotes
from tests.support.shop import START_TIME, Person, Shop

CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)  # of issue 5
NEXT_CUTOFF = CUTOFF + timedelta(days=15)  # of issue 6
DAY = timedelta(days=1)
DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"


async def add_print(shop: Shop, by: Person, *, key: str = "print-1") -> str:
    """Let a reader with a digital subscription add print; return the payment for it."""
    await change(shop, by, enabled=True, address=HOME, key=key)
    rows = await shop.rows("SELECT id FROM payments WHERE print_from IS NOT NULL ORDER BY paid_at DESC, id LIMIT 1")
    return str(rows[0]["id"])


async def subscribe_and_add_print(shop: Shop, by: Person) -> str:
    """Let a reader subscribe to the digital edition and then add print; return the payment for print."""
    await shop.plan_issues(50)
    await shop.subscribe(by)
    payment = await add_print(shop, by)
    await shop.advance_to(START_TIME + timedelta(hours=1))
    return payment


async def payments_of(shop: Shop) -> list[tuple[str, int]]:
    """Return the payments with their amounts, the earliest first."""
    rows = await shop.rows("SELECT id, amount FROM payments ORDER BY paid_at, print_from NULLS FIRST")
    return [(row["id"], row["amount"]) for row in rows]


async def held(shop: Shop, by: Person) -> dict[str, Any]:
    """Return the only subscription of a reader, as support sees it."""
    (found,) = (await shop.overview(by))["subscriptions"]
    return dict(found)


async def copies_of(shop: Shop, issue: int) -> int:
    """Freeze an issue, and return how many copies are sent."""
    return int((await freeze(shop, issue))["counts"]["copies"])


async def assert_only_print_ended(shop: Shop, by: Person) -> None:
    """Check that print has ended here and at Stripe, and that the subscription continues without it."""
    assert (await held(shop, by))["status"] == "active"
    assert await items(shop) == [DIGITAL]
    shown = (await shop.get("/v1/me/subscription", by)).json()
    assert (shown["editions"], shown["status"]) == (["digital"], "active")
    assert await shop.may_read(by)
    assert not await shop.may_read(by, "print_edition")
    (row,) = await shop.rows("SELECT refunded_as, print_until FROM terms")
    assert (row["refunded_as"], row["print_until"] is None) == (None, False)
    assert await shop.rows("SELECT id FROM print_changes WHERE status <> 'completed'") == []


async def test_added_print_is_on_hold_until_its_dispute_is_won(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)
    granted = await shop.check(ada, "print_edition")
    dispute = await open_dispute(shop, payment)

    assert granted["allowed"]
    on_hold = await shop.check(ada, "print_edition")
    assert (on_hold["allowed"], on_hold["reason"]) == (False, "dispute_open")
    assert await shop.may_read(ada), "the first payment isn't disputed"
    notice = (await shop.get("/v1/me/subscription", ada)).json()["notice"]
    assert (notice["code"], "your copies are on hold" in notice["text"]) == ("payment_disputed", True)
    quoted = await quote(shop, ada)
    assert (quoted["allowed"], quoted["reason"]) == (False, "payment_disputed")
    await shop.advance_to(CUTOFF + DAY)
    assert (await preview(shop, 5))["left_out"]["payment_disputed"] == 1
    assert await copies_of(shop, 5) == 0

    await bank_action(shop, f"disputes/{dispute}", status="won")

    assert await shop.check(ada, "print_edition") == granted
    await freeze(shop, 5, supplement=True)
    assert len(await labels(shop, 5, supplement=1)) == 1
    await shop.advance_to(NEXT_CUTOFF + DAY)
    assert await copies_of(shop, 6) == 1
    assert [action for action, _, of in await policy_entries(shop) if of == payment] == [
        "print_edition.suspended",
        "print_edition.restored",
    ]


async def test_a_lost_dispute_of_added_print_ends_print_and_nothing_else(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)
    dispute = await open_dispute(shop, payment)
    await shop.advance_to(CUTOFF + DAY)
    assert await copies_of(shop, 5) == 0

    await bank_action(shop, f"disputes/{dispute}", status="lost")

    await assert_only_print_ended(shop, ada)
    assert (await try_to_freeze(shop, 5, supplement=True)).json()["code"] == "nothing_to_add"
    await shop.advance_to(NEXT_CUTOFF + DAY)
    assert await copies_of(shop, 6) == 0
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert [action for action, *_ in await policy_entries(shop)].count("dispute.lost") == 1
    finance = shop.person("finance", roles=("finance",))
    (figures,) = (await shop.get("/v1/reports/liability", finance)).json()["currencies"]
    assert figures["refunds"] == 23_00
    ((first, _), _) = await payments_of(shop)
    rest = (await get_quotes(shop, first))[UNSERVED]
    assert (rest["allowed"], rest["reason"]) == (True, None), "the first payment can still be refunded"
    assert rest["amount"]["amount"] == 44_92, "22 of 24 issues"
    await shop.advance_to(datetime(2027, 3, 2, 12, tzinfo=UTC))
    assert [amount for _, amount in await payments_of(shop)] == [49_00, 23_00, 49_00]


async def test_a_whole_refund_in_the_dashboard_ends_added_print_and_it_can_be_added_again(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)

    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="1000")
    await shop.wait_until_idle()
    assert await items(shop) == [DIGITAL, PRINT], "a partial refund counts as goodwill"
    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    await shop.wait_until_idle()

    await assert_only_print_ended(shop, ada)
    await shop.advance_to(CUTOFF + DAY)
    assert await copies_of(shop, 5) == 0
    finance = shop.person("finance", roles=("finance",))
    (figures,) = (await shop.get("/v1/reports/liability", finance)).json()["currencies"]
    assert figures["refunds"] == 23_00
    ((first, _), _) = await payments_of(shop)
    rest = (await get_quotes(shop, first))[UNSERVED]["amount"]["amount"]
    assert rest == 46_96, "23 of 24 issues: the copies that were never sent cost nothing"
    await add_print(shop, ada, key="print-2")
    await shop.advance_to(NEXT_CUTOFF + DAY)
    assert await copies_of(shop, 6) == 1, "that was paid for again"
    assert await shop.may_read(ada, "print_edition")


async def test_a_credit_note_outside_stripe_for_all_of_added_print_ends_it(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_and_add_print(shop, ada)
    (row,) = await shop.rows("SELECT invoice_id FROM print_changes")
    await shop.stripe_post("/v1/credit_notes", invoice=row["invoice_id"], amount="2300", out_of_band_amount="2300")
    await shop.wait_until_idle()

    await assert_only_print_ended(shop, ada)
    await shop.advance_to(CUTOFF + DAY)
    assert await copies_of(shop, 5) == 0


async def test_a_fraud_warning_on_added_print_refunds_it_and_ends_only_print(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)

    await bank_action(shop, f"charges/{await charge_of(shop, payment)}/warn")

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert (refund["amount"], refund["payment_intent"]) == (23_00, payment)
    await assert_only_print_ended(shop, ada)
    await shop.advance_to(CUTOFF + DAY)
    assert await copies_of(shop, 5) == 0
    await add_print(shop, ada, key="print-2")
    await shop.advance_to(NEXT_CUTOFF + DAY)
    assert await copies_of(shop, 6) == 1, "the refund concerns only the print that it returned"


async def test_what_the_balance_paid_for_added_print_goes_back_to_it_with_a_whole_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.plan_issues(50)
    await shop.subscribe(ada)
    await give_credit(shop, 10_00)
    payment = await add_print(shop, ada)
    await shop.advance_to(START_TIME + timedelta(hours=1))
    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    await shop.wait_until_idle()

    await assert_only_print_ended(shop, ada)
    (customer,) = await shop.stripe_customers()
    assert customer["balance"] == -10_00


async def test_a_dispute_of_added_print_that_is_lost_after_the_renewal_ends_nothing(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)
    dispute = await open_dispute(shop, payment)
    await shop.advance_to(datetime(2027, 3, 2, 12, tzinfo=UTC))
    await bank_action(shop, f"disputes/{dispute}", status="lost")

    assert (await held(shop, ada))["status"] == "active"
    assert await items(shop) == [DIGITAL, PRINT]
    assert await shop.may_read(ada, "print_edition"), "the renewal paid for it"
    assert [amount for _, amount in await payments_of(shop)] == [49_00, 23_00, 73_00]


async def test_a_lost_dispute_of_a_renewal_with_print_stops_its_copies(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_and_add_print(shop, ada)
    await shop.advance_to(datetime(2027, 3, 2, 12, tzinfo=UTC))
    renewal, amount = (await payments_of(shop))[-1]
    dispute = await open_dispute(shop, renewal)
    (row,) = await shop.rows(
        "SELECT number, label_cutoff FROM issues WHERE label_cutoff > '2027-03-03' ORDER BY number LIMIT 1"
    )
    await shop.advance_to(datetime.combine(row["label_cutoff"] + 2 * DAY, datetime.min.time(), UTC))
    assert amount == 73_00
    assert (await preview(shop, row["number"]))["left_out"]["payment_disputed"] == 1

    await bank_action(shop, f"disputes/{dispute}", status="lost")

    assert await copies_of(shop, row["number"]) == 0
    assert not await shop.may_read(ada, "print_edition")
    assert (await shop.get("/v1/me/subscription", ada)).json()["status"] == "canceled"
    assert await support_list(shop, "anomalies") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "when"),
    [
        pytest.param("GET", "/v1/disputes", "after", id="fetched, not recorded"),
        pytest.param("POST", "/v1/subscriptions/*", "before", id="end stored, print not taken away"),
        pytest.param("POST", "/v1/subscriptions/*", "after", id="taken away, not recorded"),
    ],
)
async def test_the_end_of_added_print_is_completed_if_it_is_killed(
    killable_shop: Shop, method: str, path: str, when: str
) -> None:
    shop = killable_shop
    ada = shop.person()
    payment = await subscribe_and_add_print(shop, ada)
    dispute = await open_dispute(shop, payment)
    fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)
    done = await shop.stripe.post(f"/_sandbox/disputes/{dispute}", json={"status": "lost"})
    assert done.status_code == 200, done.text
    await kill_and_restart(shop, fault)
    await shop.wait_until("SELECT count(*) = 2 AND bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    await assert_only_print_ended(shop, ada)
    assert len(await shop.rows("SELECT * FROM audit_log WHERE action = 'print_edition.dropped'")) == 1
    await shop.advance_to(CUTOFF + DAY)
    assert await copies_of(shop, 5) == 0
