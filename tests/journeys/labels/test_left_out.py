"""Copies that are not sent: their money goes back, or they are not charged; and those that then come from another term."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.labels.test_grace_and_back_issues import LAST, RENEWAL, with_a_failing_card
from tests.support.labels import HOME, circulation, freeze, labels, move, preview, try_to_freeze
from tests.support.print_edition import change, give_credit
from tests.support.refunds import get_quotes
from tests.support.shop import ADDRESS, Shop

ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
HOURS = timedelta(hours=2)
DAY = timedelta(days=1)


async def advance_at_stripe(shop: Shop, moment: datetime) -> None:
    """Advance the clock without waiting for the work that follows."""
    path = f"/v1/test_helpers/test_clocks/{shop.clock}/advance"
    await shop.stripe.post(path, data={"frozen_time": str(int(moment.timestamp()))})
    await shop.wait_for_clock()


@pytest.mark.parametrize("is_note", [False, True], ids=["refund", "credit note"])
async def test_money_that_went_back_before_the_cutoff_stops_the_copy_though_known_later(
    shop: Shop, *, is_note: bool
) -> None:
    await shop.plan_issues(50)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF - HOURS)
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    (invoice,) = (await shop.stripe_get("/v1/invoices"))["data"]
    amount = str(charge["amount"])
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    if is_note:
        note = {"invoice": invoice["id"], "amount": amount, "out_of_band_amount": amount}
        await shop.stripe_post("/v1/credit_notes", **note)
    else:
        await shop.stripe_post("/v1/refunds", charge=charge["id"])
    await advance_at_stripe(shop, CUTOFF + HOURS)
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 1
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()

    assert (await shop.rows("SELECT refunded_as FROM terms")) == [{"refunded_as": "dashboard"}]
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0


async def test_a_dashboard_refund_after_the_cutoff_does_not_stop_the_copy(shop: Shop) -> None:
    await shop.plan_issues(50)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF + HOURS)
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    await shop.stripe_post("/v1/refunds", charge=charge["id"])
    await shop.wait_until_idle()

    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 1


async def test_a_pending_refund_of_print_that_was_added_to_a_free_term_leaves_the_copy_out(shop: Shop) -> None:
    await shop.plan_issues(50)
    coupon = await shop.stripe_post("/v1/coupons", percent_off="100", duration="once")
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"], "code": "FREE"}
    await shop.stripe_post("/v1/promotion_codes", **promotion)
    ada = shop.person("ada")
    await shop.subscribe(ada, promotion_code="FREE")
    await change(shop, ada, enabled=True, address=HOME)
    await shop.advance_to(CUTOFF - HOURS)
    (paid,) = [str(one["id"]) for one in (await shop.overview(ada))["payments"]]
    await shop.add_fault(method="POST", path="/v1/refunds", when="before", action="status", status=500, times=1000)
    amount = (await get_quotes(shop, paid))["guarantee"]["amount"]["amount"]
    await shop.request_refund(paid, amount=amount)
    await advance_at_stripe(shop, CUTOFF + HOURS)

    shown = await preview(shop, ISSUE)

    assert (shown["counts"]["copies"], shown["left_out"]["refund_in_progress"]) == (0, 1)
    answer = await try_to_freeze(shop, ISSUE)
    assert answer.json()["counts"]["copies"] == 0


async def test_a_supplement_sends_no_grace_copy_of_an_issue_from_before_the_expire(shop: Shop) -> None:
    await shop.plan_issues(  # more issues than the term owes, so two come out before it ends
        60,
        but="UPDATE issues SET planned_mail_date = DATE '2026-01-01' + number::int * 14,"
        " cover_date = DATE '2026-01-01' + number::int * 14, label_cutoff = DATE '2026-01-01' + number::int * 14 - 9",
    )
    await with_a_failing_card(shop, shop.person("ada"))
    await shop.stripe.put("/_sandbox/settings", json={"after_retries": "past_due", "retry_days": [1]})
    await shop.advance_to(RENEWAL - DAY)
    assert [(await freeze(shop, number))["counts"]["copies"] for number in (LAST + 1, LAST + 2)] == [0, 0]
    await shop.advance_to(RENEWAL + 2 * DAY)

    answers = [await try_to_freeze(shop, number, supplement=True) for number in (LAST + 1, LAST + 2)]

    assert [answer.json()["code"] for answer in answers] == ["nothing_to_add", "nothing_to_add"]


async def test_a_double_issue_comes_from_the_newer_term_while_the_older_is_disputed(shop: Shop) -> None:
    await shop.plan_issues(
        60, but="UPDATE issues SET counts_as = CASE number WHEN 10 THEN 0 ELSE 2 END WHERE number IN (10, 29)"
    )
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(RENEWAL + 2 * DAY)  # the last copy of the first term is half of issue 29
    rows = await shop.rows("SELECT invoice_id FROM terms WHERE copies @> 29 ORDER BY starts_at")
    assert len(rows) == 2
    await shop.execute(f"UPDATE terms SET suspended_as = 'disputed' WHERE invoice_id = '{rows[0]['invoice_id']}'")
    await shop.advance_to(datetime(2027, 3, 5, 18, tzinfo=UTC))

    assert (await freeze(shop, 29))["counts"]["copies"] == 1
    assert len(await labels(shop, 29)) == 1
    assert await shop.rows("SELECT term FROM labels") == [{"term": rows[1]["invoice_id"]}]


async def test_a_later_credit_note_of_ours_brings_no_refunded_copy_back(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person("ada")
    await shop.open_checkout(ada)  # makes the customer
    await give_credit(shop, 10_00)
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(CUTOFF - HOURS)
    (charge,) = (await shop.stripe_get("/v1/charges"))["data"]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe_post("/v1/refunds", charge=charge["id"])
    await advance_at_stripe(shop, CUTOFF + HOURS)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()

    assert (await shop.rows("SELECT refunded_as FROM terms")) == [{"refunded_as": "dashboard"}]
    made = await shop.rows("SELECT kind, amount FROM credits WHERE amount > 0")  # once we knew, after the cut-off
    assert made == [{"kind": "returned", "amount": 10_00}]
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0


async def test_a_reader_whose_last_copy_was_left_out_is_listed_for_its_issue(shop: Shop) -> None:
    await shop.plan_issues(5)  # no later issue is planned
    ada = shop.person("ada")
    opened = (await shop.open_checkout(ada, print_edition=True)).json()
    await shop.pay_checkout(opened["url"], address={**ADDRESS, "shipping_name": "x" * 300})
    await shop.wait_until_idle()
    await shop.advance_to(datetime(2026, 3, 10, 5, tzinfo=UTC))

    assert await _unusable(shop, {}) == []
    assert len(await _unusable(shop, {"issue": "5"})) == 1
    assert (await freeze(shop, 5))["counts"]["copies"] == 0
    assert len(await _unusable(shop, {"issue": "5"})) == 1, "it waits for a supplement"
    await move(shop, ada, HOME)
    assert await _unusable(shop, {"issue": "5"}) == []
    unknown = await shop.get("/v1/print/unusable-addresses", circulation(shop), issue="99")
    assert unknown.status_code == 404


async def _unusable(shop: Shop, issue: dict[str, str]) -> list[object]:
    return list((await shop.get("/v1/print/unusable-addresses", circulation(shop), **issue)).json()["data"])
