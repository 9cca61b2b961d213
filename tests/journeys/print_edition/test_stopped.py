"""A change of the print edition that stops halfway: what label runs and other processes do meanwhile."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from app import main
from app.db import print_changes
from app.domain.errors import ConcurrentUpdate
from app.domain.print_changes import PrintChangeStatus
from app.services import catalogue
from app.services.print_changes import steps
from tests.support.crashes import wait_until_hit
from tests.support.labels import HOME, freeze, labels, preview, try_to_freeze
from tests.support.print_edition import change, items, print_invoices, put, quote
from tests.support.shop import Shop


async def test_print_that_is_being_dropped_is_on_no_label_run(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    quoted = await quote(shop, ada)
    issue, amount = quoted["from_issue"], quoted["amount"]["amount"]
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)

    answer = await put(shop, ada, enabled=False, amount=amount)
    await shop.postpone("print_changes")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    (row,) = await shop.rows("SELECT label_cutoff FROM issues WHERE number = $1", issue)
    await shop.advance_to(
        datetime.combine(row["label_cutoff"] + timedelta(days=1), datetime.min.time(), UTC).replace(hour=6)
    )
    before = await preview(shop, issue)
    await freeze(shop, issue)
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()

    assert (answer.status_code, answer.json()["status"]) == (202, "processing"), answer.text
    assert before["left_out"]["refund_in_progress"] == 1
    assert await labels(shop, issue) == []
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == amount
    later = await try_to_freeze(shop, issue, supplement=True)
    assert later.json()["code"] == "nothing_to_add", later.text


async def test_a_change_that_stripe_refuses_is_shown_to_staff_until_it_succeeds(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    amount = (await quote(shop, ada))["amount"]["amount"]
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=400, times=None)

    await put(shop, ada, enabled=False, amount=amount)
    await shop.wait_until("SELECT count(*) = 1 FROM anomalies WHERE gone_at IS NULL")
    (shown,) = (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"]
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")

    assert shown["code"] == "print_change_refused"
    assert "drop the print edition" in shown["reason"]
    assert (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"] == []


async def test_a_process_that_wakes_up_too_late_sends_nothing_to_stripe(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    added = await change(shop, ada, enabled=True, address=HOME)

    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        async with ctx.sessions.begin() as session:
            completed = await print_changes.by_id(session, added["id"])
        assert completed is not None
        seen_before = replace(completed, status=PrintChangeStatus.PROCESSING, invoice_id=None)
        with pytest.raises(ConcurrentUpdate):
            await steps.intend(ctx, seen_before, "print_draft", {})

    assert len(await print_invoices(shop)) == 1


@pytest.mark.parametrize(
    ("method", "path", "when"),
    [
        pytest.param("GET", "/v1/invoices/*", "after", id="it has seen an empty draft"),
        pytest.param("POST", "/v1/invoiceitems", "before", id="it is about to add the line"),
    ],
)
async def test_a_process_that_wakes_up_after_another_has_charged_completes_the_change(
    shop: Shop, method: str, path: str, when: str
) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=True, amount=23_00, address=HOME))
    await wait_until_hit(shop, fault)
    invoice = await _add_line(shop)  # what the other process does meanwhile
    if method == "POST":
        await shop.stripe_post(f"/v1/invoices/{invoice}/finalize")
        await shop.stripe_post(f"/v1/invoices/{invoice}/pay")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    answer = await click
    await shop.wait_until_idle()

    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    (billed,) = await print_invoices(shop)
    assert (billed["status"], billed["amount_paid"]) == ("paid", 23_00)
    (term,) = await shop.rows("SELECT print_edition FROM terms")
    assert term["print_edition"]


async def test_print_that_another_process_has_just_added_or_dropped_is_no_refusal(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    (price,) = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_print"}))["data"]

    async def change_while_another_does(fields: dict[str, str], *, enabled: bool) -> httpx2.Response:
        (held,) = (await shop.stripe_get("/v1/subscriptions", test_clock=shop.clock))["data"]
        fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", when="before", action="hold", times=1)
        request = put(shop, ada, enabled=enabled, amount=23_00, address=HOME if enabled else None, key=f"{enabled}")
        click = asyncio.create_task(request)
        await wait_until_hit(shop, fault)
        if not enabled:
            (item,) = [one["id"] for one in held["items"]["data"] if one["price"]["id"] == price["id"]]
            (row,) = await shop.rows("SELECT starts_at FROM print_changes WHERE kind = 'drop'")
            dropped = {"metadata[newsstand_print_dropped]": str(int(row["starts_at"].timestamp()))}
            fields = {**fields, "items[0][id]": item, **dropped}
        await shop.stripe_post(f"/v1/subscriptions/{held['id']}", proration_behavior="none", **fields)
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
        answer = await click
        await shop.wait_until_idle()
        return answer

    added = await change_while_another_does({"items[0][price]": price["id"]}, enabled=True)
    dropped = await change_while_another_does({"items[0][deleted]": "true"}, enabled=False)

    assert [(one.status_code, one.json()["status"]) for one in (added, dropped)] == [(200, "completed")] * 2
    assert await shop.rows("SELECT * FROM anomalies") == []
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 23_00


async def _add_line(shop: Shop) -> str:
    """Add the line of an addition to its draft, and return the draft's ID."""
    (draft,) = await print_invoices(shop)
    (row,) = await shop.rows("SELECT id, starts_at, ends_at FROM print_changes")
    await shop.stripe_post(
        "/v1/invoiceitems",
        **{
            "customer": draft["customer"],
            "invoice": draft["id"],
            "metadata[newsstand_print_change]": row["id"],
            "price_data[currency]": "usd",
            "price_data[product]": "newsstand_annual_print",
            "price_data[unit_amount]": "2300",
            "period[start]": str(int(row["starts_at"].timestamp())),
            "period[end]": str(int(row["ends_at"].timestamp())),
        },
    )
    return str(draft["id"])


async def test_dropped_print_is_not_owed_again_when_stripes_metadata_is_lost(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await change(shop, ada, enabled=False)
    (held,) = (await shop.stripe_get("/v1/subscriptions", test_clock=shop.clock))["data"]
    said = held["metadata"]["newsstand_print_dropped"]

    await shop.stripe_post(f"/v1/subscriptions/{held['id']}", **{"metadata[newsstand_print_dropped]": ""})
    await shop.wait_until_idle()

    (term,) = await shop.rows("SELECT copies::text FROM terms")
    assert term["copies"] == "{}"
    (shown,) = (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"]
    assert shown["code"] == "print_drop_missing"
    assert said in shown["reason"]
    assert (await quote(shop, ada))["kind"] == "add"

    await shop.stripe_post(f"/v1/subscriptions/{held['id']}", **{"metadata[newsstand_print_dropped]": said})
    await shop.wait_until_idle()
    assert (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"] == []


async def test_a_draft_that_another_process_empties_meanwhile_adds_no_print(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    fault = await shop.add_fault(method="POST", path="/v1/invoices/*/finalize", when="before", action="hold", times=1)

    click = asyncio.create_task(put(shop, ada, enabled=True, amount=23_00, address=HOME))
    await wait_until_hit(shop, fault)
    (draft,) = await print_invoices(shop)
    for item in (await shop.stripe_get("/v1/invoiceitems", invoice=draft["id"]))["data"]:
        await shop.stripe.delete(f"/v1/invoiceitems/{item['id']}")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    answer = await click
    await shop.wait_until_idle()

    (billed,) = await print_invoices(shop)
    assert (billed["status"], billed["total"]) == ("paid", 0)
    assert (answer.status_code, answer.json()["code"]) == (409, "quote_changed"), answer.text
    assert await items(shop) == ["newsstand_annual_digital"]
    (term,) = await shop.rows("SELECT print_edition FROM terms")
    assert not term["print_edition"]
