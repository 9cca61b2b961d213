"""Erasing a reader: no table has anything about them afterwards, and money and the audit log are handled with care."""

import asyncio
import json
from typing import Any

import pytest

from app.db.engine.change_feed import ENTITLEMENTS
from app.services import audit
from tests.journeys.disputes.test_disputes import open_dispute
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.crashes import kill_and_restart, wait_until_hit
from tests.support.shop import Person, Shop
from tests.support.timeouts import TIMEOUT

SUB = "zzyzx-4711"  # also in the name and the email address
TRACES = (SUB, "invented", "lantern", "springfield", "555 0142", "moved to ohio")
FINISHED = "SELECT count(*) = 1 FROM erasures WHERE finished_at IS NOT NULL"
LAST_TRACE = "SELECT bool_and(sub IS NULL AND due_at IS NULL) FROM erasures"


def officer_of(shop: Shop) -> Person:
    return shop.person("officer", roles=("privacy",))


async def id_of(shop: Shop, sub: str = SUB) -> str:
    (row,) = await shop.rows("SELECT id FROM subscribers WHERE sub = $1", sub)
    return str(row["id"])


async def traces(shop: Shop) -> list[tuple[str, str]]:
    """Return the rows of any table that have a trace of the reader: the table, and the row as text."""
    found = []
    for (table,) in await shop.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for (row,) in await shop.pool.fetch(f'SELECT t::text FROM "{table}" t'):
            found += [(table, row) for trace in TRACES if trace in row.lower()]
    return found


async def erase(shop: Shop, reader: str, **body: object) -> Any:
    return await shop.post(f"/v1/support/subscribers/{reader}/erase", officer_of(shop), body or None)


async def remove_last_trace(shop: Shop) -> None:
    """Let the two hours after the erasure pass."""
    await shop.execute("UPDATE erasures SET due_at = now()")
    await shop.wait_until(LAST_TRACE)


async def with_history(shop: Shop) -> Person:
    """Return a reader about whom every kind of row has something."""
    ada = shop.person(SUB)
    await shop.subscribe(ada, print_edition=True)
    reader = await id_of(shop)
    (payment,) = await shop.rows("SELECT id FROM payments")
    (customer,) = await shop.stripe_customers()
    await shop.stripe_post(f"/v1/customers/{customer['id']}", phone="+1 555 0142 99", email=f"other-{SUB}@example.com")
    goodwill = {
        "payment": payment["id"],
        "basis": "goodwill",
        "amount": {"amount": 100, "currency": "usd"},
        "expected_amount": {"amount": 100, "currency": "usd"},
        "reason": "other",
        "note": "Invented moved to Ohio",
    }
    await shop.post("/v1/support/refunds", shop.agent, goodwill, **{"Idempotency-Key": "k1"})
    comp = {"subscriber": SUB, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "Invented moved to Ohio"}
    await shop.post("/v1/support/comps", shop.agent, comp)
    (subscription,) = await shop.rows("SELECT id, stripe_id FROM subscriptions")
    more = {"issues": 1, "reason": "other", "note": "Invented moved to Ohio"}
    await shop.post(f"/v1/support/subscriptions/{subscription['id']}/extend", shop.agent, more)
    renamed = shop.issuer.token(SUB, email=f"new-{SUB}@example.com", name=f"New {SUB}", roles=[])
    async with asyncio.timeout(TIMEOUT):  # while the service is busy, it notes the new name with a later request
        while not await shop.rows("SELECT FROM contact_changes"):
            await shop.get("/v1/me/subscription", Person(SUB, "", {"Authorization": f"Bearer {renamed}"}))
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end", "comment": "Moved to Ohio"})
    for name in (f"New {SUB}", "Invented"):  # without a sign-in: the worker finds the contract of the first one
        notice = {"name": name, "email": f"new-{SUB}@example.com", "contract": "24 Issues", "type": "ordinary"}
        assert (await shop.http.post("/v1/cancellations", json=notice)).status_code == 202
    await shop.get(f"/v1/support/subscribers/{reader}", shop.agent)
    await shop.pool.execute(  # as earlier releases did
        "INSERT INTO audit_log (actor, action, object_id, subscriber_id) VALUES ($1, 'a', 'b', $2)",
        f"reader:{SUB}",
        reader,
    )
    await shop.pool.execute("INSERT INTO audit_notes (audit_id, words) SELECT max(id), 'Moved to Ohio' FROM audit_log")
    await shop.pool.execute(
        "INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key)"
        " VALUES ('swp_1', 'import', 'x', false, 'done', '{}', '{}', 'w')"
    )
    await shop.pool.execute(
        "INSERT INTO differences (sweep_id, object_id, words) VALUES ('swp_1', 'cus_x', $1)",
        f"is {SUB} as the file says",
    )
    await shop.wait_until_idle()
    await shop.wait_until("SELECT count(*) = 0 FROM contact_changes WHERE due_at IS NOT NULL")
    return ada


async def test_an_erased_reader_is_in_no_table_and_the_books_are_kept(shop: Shop) -> None:
    ada = await with_history(shop)
    reader = await id_of(shop)
    (customer,) = await shop.stripe_customers()
    methods = (await shop.stripe_get("/v1/payment_methods", customer=customer["id"]))["data"]
    before = {table for table, _ in await traces(shop)}
    assert before >= {
        "anomalies", "audit_log", "audit_notes", "comps", "contact_changes", "declarations", "differences", "entitlements",
        "idempotent_requests", "intents", "issue_adjustments", "notifications", "refunds", "subscribers",
    }  # fmt: skip
    books = await shop.rows("SELECT id, amount, paid_at FROM payments")

    assert (await erase(shop, reader)).json()["code"] == "refund_due"
    ordered = await erase(shop, reader, without_refund=True)
    again = await erase(shop, reader, without_refund=True)
    refused_at_once = (await shop.check(ada))["allowed"]
    await shop.wait_until(FINISHED)
    report = (await shop.get(f"/v1/support/erasures/{ordered.json()['id']}", officer_of(shop))).json()

    assert (ordered.status_code, again.status_code, ordered.json()["id"]) == (202, 202, again.json()["id"])
    assert refused_at_once is False
    # Until the tokens expire, and the publisher's systems know.
    assert {table for table, _ in await traces(shop)} <= {"erasures", "revocations", "outbox_events"}
    await remove_last_trace(shop)
    assert await traces(shop) == []

    assert await shop.rows("SELECT id, amount, paid_at FROM payments") == books
    (subscription,) = await shop.rows("SELECT status, ended_by, stripe_id FROM subscriptions")
    assert (subscription["status"], subscription["ended_by"]) == ("canceled", "cancel_now")
    assert report["status"] == "finished"
    assert {"payments", "invoices at Stripe", "charges at Stripe"} <= {one["what"] for one in report["kept"]}
    assert await shop.stripe_get(f"/v1/customers/{customer['id']}") == {
        "id": customer["id"], "object": "customer", "deleted": True,
    }  # fmt: skip
    at_stripe = [await shop.stripe_get(f"/v1/payment_methods/{one['id']}") for one in methods]
    at_stripe.append(await shop.stripe_get(f"/v1/subscriptions/{subscription['stripe_id']}"))
    assert [trace for trace in TRACES if trace in json.dumps(at_stripe).lower()] == []

    await shop.wait_until("SELECT NOT EXISTS (SELECT FROM audit_unsealed)")
    assert shop.app is not None
    verified = await audit.verify(shop.app.state.api.ctx, known_hash=None, progress=lambda _: None)
    assert (verified.broken, verified.replaced) == (None, 1)


async def test_an_erased_reader_who_comes_back_is_a_new_reader(shop: Shop) -> None:
    ada = shop.person(SUB)
    await shop.subscribe(ada)
    former = await id_of(shop)
    await shop.pool.execute(
        "INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key)"
        " VALUES ('swp_1', 'import', 'x', false, 'done', '{}', '{}', 'w')"
    )
    await shop.pool.execute(
        "INSERT INTO differences (sweep_id, object_id, words) VALUES ('swp_1', 'cus_y', $1)",
        f"is {SUB}-other as the file says",
    )
    await erase(shop, former, without_refund=True)
    await shop.wait_until(FINISHED)
    await shop.wait_until_idle()

    await shop.subscribe(ada)

    assert await shop.may_read(ada)
    newest = "SELECT version > ALL (SELECT version FROM revocations) AS is_above FROM entitlements WHERE sub = $1"
    assert (await shop.rows(newest, SUB))[0]["is_above"], "the revocation of the access before applies to new tokens"
    assert await shop.rows("SELECT FROM revocations WHERE sub = $1", SUB)
    assert len(await shop.rows("SELECT FROM differences")) == 1  # it is about another reader, with a longer `sub`
    assert await id_of(shop) != former
    assert (await shop.get("/v1/me/subscription", ada)).json()["status"] == "active"


async def test_processes_forget_the_cached_access_of_an_erased_reader(shop: Shop) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(sub: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while await heard.get() != sub:
                pass

    def on_change(*notification: object) -> None:
        heard.put_nowait(str(notification[3]))

    async with shop.pool.acquire() as connection:
        await connection.add_listener(ENTITLEMENTS, on_change)
        comp = {"subscriber": SUB, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "press"}
        await shop.post("/v1/support/comps", shop.agent, comp)
        await hear(SUB)
        await shop.execute("UPDATE comps SET removed_at = now()")  # its grant stays, like editions that are still owed

        await erase(shop, await id_of(shop))

        await hear(SUB)
        await connection.remove_listener(ENTITLEMENTS, on_change)


async def test_a_checkout_that_began_before_an_erasure_leaves_nothing(shop: Shop) -> None:
    comp = {"subscriber": SUB, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "press"}
    await shop.post("/v1/support/comps", shop.agent, comp)
    fault = await shop.add_fault(method="POST", path="/v1/customers", when="after", action="hold", times=1)
    click = asyncio.create_task(shop.open_checkout(shop.person(SUB)))
    await wait_until_hit(shop, fault)

    await erase(shop, await id_of(shop))
    await shop.wait_until(FINISHED)
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    refused = await click
    await shop.wait_until(f"{FINISHED} AND customer_ids <> '{{}}'")

    assert (refused.status_code, await shop.stripe_customers()) == (503, [])
    await remove_last_trace(shop)
    assert await traces(shop) == []


async def pay_while_erased(shop: Shop) -> None:
    """Let a reader pay at the moment when the erasure, which was just ordered, expires their checkout."""
    comp = {"subscriber": SUB, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "press"}
    await shop.post("/v1/support/comps", shop.agent, comp)
    checkout = (await shop.open_checkout(shop.person(SUB))).json()
    fault = await shop.add_fault(
        method="POST", path="/v1/checkout/sessions/*/expire", when="before", action="hold", times=1
    )
    assert (await erase(shop, await id_of(shop))).status_code == 202
    await wait_until_hit(shop, fault)
    assert (await shop.pay_checkout(checkout["url"])).status_code == 303
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")


async def refunds_at_stripe(shop: Shop) -> list[tuple[int, str]]:
    return [(one["amount"], one["status"]) for one in (await shop.stripe_get("/v1/refunds"))["data"]]


@pytest.mark.parametrize("are_delivered", [True, False])
async def test_what_is_paid_while_a_reader_is_erased_is_refunded(shop: Shop, *, are_delivered: bool) -> None:
    if not are_delivered:  # the events, as in an outage
        (endpoint,) = (await shop.stripe_get("/v1/webhook_endpoints"))["data"]
        await shop.stripe_post(f"/v1/webhook_endpoints/{endpoint['id']}", disabled="true")

    await pay_while_erased(shop)
    await shop.wait_until(FINISHED)

    (ended,) = await shop.rows("SELECT status, ended_by FROM subscriptions")
    (refund,) = await shop.rows("SELECT basis, amount, status FROM refunds")
    assert ended == {"status": "canceled", "ended_by": "erased"}
    assert refund == {"basis": "paid_after_end", "amount": 49_00, "status": "succeeded"}
    assert (await refunds_at_stripe(shop), await shop.stripe_customers()) == ([(49_00, "succeeded")], [])
    await remove_last_trace(shop)
    assert await traces(shop) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "when"),
    [
        ("GET", "/v1/subscriptions/*", "after"),
        ("DELETE", "/v1/subscriptions/*", "after"),
        ("POST", "/v1/refunds", "before"),
        ("POST", "/v1/refunds", "after"),
        ("DELETE", "/v1/customers/*", "before"),
    ],
)
async def test_a_killed_refund_of_an_erased_reader_is_paid_once(
    killable_shop: Shop, method: str, path: str, when: str
) -> None:
    shop = killable_shop
    fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)

    await pay_while_erased(shop)
    await kill_and_restart(shop, fault)
    await shop.wait_until(FINISHED)

    assert (await refunds_at_stripe(shop), await shop.stripe_customers()) == ([(49_00, "succeeded")], [])


async def test_what_is_undecided_blocks_an_erasure(shop: Shop) -> None:
    await shop.subscribe(shop.person(SUB))
    reader = await id_of(shop)
    (payment,) = await shop.rows("SELECT id FROM payments")
    dispute = await open_dispute(shop, str(payment["id"]), reason="fraudulent")
    await shop.wait_until_idle()
    before = await shop.rows("SELECT status, ended_by FROM subscriptions")

    preview = (await shop.get(f"/v1/support/subscribers/{reader}/erasure-preview", officer_of(shop))).json()
    refused = await erase(shop, reader, without_refund=True)

    assert [one["object"] for one in preview["blocked_by"]] == [dispute]
    assert (refused.status_code, refused.json()["code"]) == (409, "erasure_blocked")
    assert await shop.rows("SELECT status, ended_by FROM subscriptions") == before
    assert await shop.rows("SELECT * FROM erasures") == []


async def test_the_preview_says_what_ends_and_what_can_be_refunded(shop: Shop) -> None:
    await shop.subscribe(shop.person(SUB))
    reader = await id_of(shop)
    (subscription,) = await shop.rows("SELECT id FROM subscriptions")
    (payment,) = await shop.rows("SELECT id FROM payments")

    preview = (await shop.get(f"/v1/support/subscribers/{reader}/erasure-preview", officer_of(shop))).json()

    assert preview["ends"] == [subscription["id"]]
    assert preview["refundable"] == [
        {"payment": payment["id"], "basis": "guarantee", "amount": {"amount": 49_00, "currency": "usd"}}
    ]
    assert (await shop.request_refund(str(payment["id"]))).status_code == 201
    await shop.wait_until_idle()
    assert (await erase(shop, reader)).status_code == 202  # nothing is left to refund


async def test_only_the_privacy_role_may_export_and_erase(shop: Shop) -> None:
    await shop.subscribe(shop.person(SUB))
    reader = await id_of(shop)
    for nobody in (shop.person(SUB), shop.agent, shop.supervisor):
        for path in ("export", "erasure-preview"):
            assert (await shop.get(f"/v1/support/subscribers/{reader}/{path}", nobody)).status_code == 403
        assert (await shop.post(f"/v1/support/subscribers/{reader}/erase", nobody)).status_code == 403
    assert (await erase(shop, "rdr_none")).status_code == 404


async def test_an_operator_exports_and_erases_by_command(shop: Shop, tmp_path: Any) -> None:
    await shop.subscribe(shop.person(SUB))
    page = tmp_path / "data.html"

    status, exported, wrong = await newsstand(shop.settings, "subscribers", "export", SUB)
    assert status == 0, wrong
    page.touch(mode=0o644)  # an older one, which others could read
    assert (await newsstand(shop.settings, "subscribers", "export", SUB, "--output", str(page)))[0] == 0
    status, _, refusal = await newsstand(shop.settings, "subscribers", "erase", SUB, "--yes")
    previewed = await newsstand(shop.settings, "subscribers", "erase", SUB, "--dry-run")
    erased = await newsstand(shop.settings, "subscribers", "erase", SUB, "--yes", "--without-refund")
    repeated = await newsstand(shop.settings, "subscribers", "erase", SUB)

    assert json.loads(exported)["at_stripe"][0]["customer"]["email"] == f"{SUB}@example.com"
    assert (page.stat().st_mode & 0o777, f"{SUB}@example.com" in page.read_text()) == (0o600, True)
    assert (status, "can still be refunded" in refusal) == (1, True)
    assert "Can be refunded: 49.00 USD" in previewed[1]
    assert (erased[0], repeated[0]) == (0, 0), erased[2]
    assert erased[1].endswith(repeated[1])
    assert "kept: 1 payments" in erased[1]
    await remove_last_trace(shop)
    assert await traces(shop) == []


STEPS = [
    ("DELETE", "/v1/subscriptions/*", "before"),
    ("DELETE", "/v1/subscriptions/*", "after"),
    ("POST", "/v1/payment_methods/*", "after"),
    ("POST", "/v1/customers/*", "after"),
    ("DELETE", "/v1/customers/*", "before"),
    ("DELETE", "/v1/customers/*", "after"),
    ("GET", "/v1/charges", "after"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "when"), STEPS)
async def test_a_killed_erasure_is_completed(killable_shop: Shop, method: str, path: str, when: str) -> None:
    shop = killable_shop
    await shop.subscribe(shop.person(SUB), print_edition=True)
    fault = await shop.add_fault(method=method, path=path, when=when, action="hold", times=1)

    ordered = await erase(shop, await id_of(shop), without_refund=True)
    assert ordered.status_code == 202
    await kill_and_restart(shop, fault)
    await shop.wait_until(FINISHED)

    await remove_last_trace(shop)
    assert await traces(shop) == []
    assert len(await shop.stripe_requests("DELETE", f"/v1/customers/{(await _deleted(shop))}")) >= 1


async def _deleted(shop: Shop) -> str:
    (report,) = await shop.rows("SELECT report::text AS text FROM erasures")
    return str(report["text"]).partition("cus_")[0] and "cus_" + str(report["text"]).partition("cus_")[2].split(" ")[0]
