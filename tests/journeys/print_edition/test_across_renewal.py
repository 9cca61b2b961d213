"""A change of the print edition that Stripe completes only after the renewal."""

from datetime import timedelta

from tests.support.labels import HOME, preview
from tests.support.print_edition import change, items, put, quote
from tests.support.shop import START_TIME, Shop

DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"
RENEWAL = START_TIME.replace(year=2027)


async def test_print_dropped_just_before_the_renewal_is_returned_by_it(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(RENEWAL - timedelta(minutes=30))
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)

    answer = await put(shop, ada, enabled=False, amount=quoted["amount"]["amount"])
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    assert (answer.status_code, answer.json()["status"]) == (202, "processing"), answer.text
    assert sorted(row["amount"] for row in await shop.rows("SELECT amount FROM payments")) == [73_00, 73_00]
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert (refund["amount"], refund["metadata"]["newsstand_basis"]) == (24_00, "print_dropped")
    assert await items(shop) == [DIGITAL]
    (_, renewed) = await shop.rows("SELECT copies::text, refunded_as FROM terms ORDER BY starts_at")
    assert tuple(renewed.values()) == ("{}", None)
    after = await quote(shop, ada)
    assert (after["enabled"], after["kind"], after["amount"]["amount"]) == (False, "add", 24_00)
    assert await shop.may_read(ada)
    assert await shop.rows("SELECT * FROM anomalies WHERE gone_at IS NULL") == []


async def test_print_dropped_while_the_renewal_is_a_draft_is_returned_once_it_is_paid(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(RENEWAL - timedelta(minutes=30))
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    await put(shop, ada, enabled=False, amount=(await quote(shop, ada))["amount"]["amount"])
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(minutes=10))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(due_at > now() + interval '2 minutes') FROM print_changes")

    taken, waiting = await items(shop), await shop.rows("SELECT status FROM print_changes")
    await shop.advance_to(RENEWAL + timedelta(hours=2))
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    assert (taken, [row["status"] for row in waiting]) == ([DIGITAL], ["processing"])
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 24_00
    (_, renewed) = await shop.rows("SELECT copies::text FROM terms ORDER BY starts_at")
    assert renewed["copies"] == "{}"


async def test_no_copy_of_the_renewed_term_goes_out_while_print_is_being_dropped(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(RENEWAL - timedelta(minutes=30))
    await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    await put(shop, ada, enabled=False, amount=(await quote(shop, ada))["amount"]["amount"])
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(days=13))  # after the cut-off of the term's first issue

    (_, renewed) = await shop.rows("SELECT copies::text FROM terms ORDER BY starts_at")
    counted = await preview(shop, 29)
    assert renewed["copies"] == "{[29,53)}"
    assert (counted["counts"]["copies"], counted["left_out"]["refund_in_progress"]) == (0, 1), counted


async def test_print_that_joins_after_the_renewal_can_be_added_to_the_new_term(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(RENEWAL - timedelta(hours=3))
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    answer = await put(shop, ada, enabled=True, amount=quoted["amount"]["amount"], address=HOME)
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    assert answer.status_code == 202, answer.text
    assert await items(shop) == [DIGITAL, PRINT]
    anomalies = (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"]
    assert [one["code"] for one in anomalies] == ["print_unbilled"]
    offered = await quote(shop, ada)
    assert (offered["enabled"], offered["kind"], offered["amount"]["amount"]) == (False, "add", 24_00)
    assert offered["renews_with_print"]
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["editions"], mine["print_from"]) == (["digital"], mine["renews_at"])

    await change(shop, ada, enabled=True, key="print-2")

    (_, renewed) = await shop.rows("SELECT print_edition, copies::text FROM terms ORDER BY starts_at")
    assert tuple(renewed.values()) == (True, "{[29,53)}")
    assert await items(shop) == [DIGITAL, PRINT]
    assert (await quote(shop, ada))["kind"] == "drop"
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["editions"], mine["print_from"]) == (["digital", "print"], None)
    assert (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"] == []


async def test_print_that_joined_after_the_renewal_can_be_dropped_before_the_next(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(RENEWAL - timedelta(hours=3))
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    await put(shop, ada, enabled=True, amount=(await quote(shop, ada))["amount"]["amount"], address=HOME)
    await shop.postpone("print_changes")
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")

    answer = await put(shop, ada, enabled=False, amount=0, key="print-2")
    await shop.wait_until_idle()

    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    assert await items(shop) == [DIGITAL]
    assert (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"] == []
