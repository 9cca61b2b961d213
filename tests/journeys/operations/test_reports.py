"""The reports for the books: what is owed in money, and the circulation statement."""

import csv
import io
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from app import main
from app.services import catalogue, liability, subscriptions
from tests.support.labels import HOME, circulation, freeze, move
from tests.support.shop import Person, Shop

IN_APRIL, IN_MAY = datetime(2026, 4, 20, 12, tzinfo=UTC), datetime(2026, 5, 10, 12, tzinfo=UTC)
REPORT = "/v1/reports/liability"
FIGURES = ("opening", "sales", "earned", "earned_reversed", "refunds", "closing")


def finance(shop: Shop) -> Person:
    return shop.person("finance", roles=("finance",))


async def report(shop: Shop, **query: str) -> dict[str, int]:
    answer = await shop.get(REPORT, finance(shop), **query)
    assert answer.status_code == 200, answer.text
    (usd,) = answer.json()["currencies"]
    assert usd.pop("currency") == "usd"
    assert usd["closing"] == usd["opening"] + usd["sales"] - usd["earned"] + usd["earned_reversed"] - usd["refunds"]
    return dict(usd)


async def by_subscription(shop: Shop, **query: str) -> list[dict[str, Any]]:
    """Return the rows of the report, and check that the file has the same."""
    page = (await shop.get(f"{REPORT}/subscriptions", finance(shop), **query)).json()
    assert page["next"] is None
    text = (await shop.get(f"{REPORT}/subscriptions.csv", finance(shop), **query)).text
    lines = list(csv.DictReader(io.StringIO(text)))
    assert lines == [{name: str(row[name]) for name in lines[0]} for row in page["data"]]
    return list(page["data"])


async def test_months_add_up_and_a_refund_that_is_known_late_is_in_the_open_month(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada, print_edition=True)
    await shop.subscribe(ben)
    await shop.advance_to(IN_APRIL)
    paid = {row["id"]: row["net"] for row in await shop.rows("SELECT id, amount - tax AS net FROM payments")}

    march = await report(shop, month="2026-03")
    assert (march["opening"], march["sales"]) == (0, sum(paid.values()))
    assert 0 < march["earned"] < march["sales"]
    rows = await by_subscription(shop, month="2026-03")
    assert march == {name: sum(row[name] for row in rows) for name in FIGURES}
    close = {"month": "2026-03"}
    assert (await shop.post(f"{REPORT}/closings", circulation(shop), close)).status_code == 403
    closed = await shop.post(f"{REPORT}/closings", finance(shop), close)
    assert (closed.status_code, closed.json()["owed"]) == (201, [{"currency": "usd", "amount": march["closing"]}])

    await shop.advance_to(IN_MAY)
    assert (await shop.post(f"{REPORT}/closings", finance(shop), {"month": "2026-04"})).status_code == 201
    april = await report(shop, month="2026-04")
    payment = (await shop.rows("SELECT id FROM payments WHERE amount = 4900"))[0]["id"]
    refund = await shop.stripe_post("/v1/refunds", payment_intent=payment)
    assert refund["status"] == "succeeded"
    await shop.wait_until_idle()  # made in the Dashboard in April, but the event came in May
    await shop.execute("UPDATE refunds SET made_at = '2026-04-10T12:00Z', created_at = '2026-04-10T12:00Z'")

    assert await report(shop, month="2026-03") == march
    assert await report(shop, month="2026-04") == april
    may = await report(shop)
    assert (may["opening"], may["refunds"]) == (april["closing"], paid[payment])
    assert may["earned_reversed"] > 0
    rows = await by_subscription(shop)
    assert may == {name: sum(row[name] for row in rows) for name in FIGURES}
    assert sorted(row["closing"] for row in rows)[0] == 0
    known = [row["action"] for row in await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'liability.%'")]
    assert sorted(known) == ["liability.closed"] * 2 + ["liability.downloaded"] * 2


async def test_a_new_print_share_in_the_catalogue_leaves_earlier_payments_alone(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(IN_APRIL)
    march = await report(shop, month="2026-03")
    loaded = catalogue.load(Path(shop.settings.catalogue))
    plan = replace(loaded.plans["annual"], print_percent=Fraction(90))
    (held,) = await shop.rows("SELECT stripe_id FROM subscriptions")

    found = []
    async with main.open_context(shop.settings, replace(loaded, plans={**loaded.plans, plan.code: plan})) as ctx:
        for changed in (
            "",
            "UPDATE payments SET print_part = NULL, print_whole = NULL",
        ):  # as an earlier release left it
            if changed:
                await shop.execute(changed)
                found.append(asdict((await liability.report(ctx, date(2026, 3, 31))).movements["usd"]))
            await subscriptions.sync(ctx, held["stripe_id"], now=IN_APRIL)
            found.append(asdict((await liability.report(ctx, date(2026, 3, 31))).movements["usd"]))

    kept, without, filled_in = found
    assert kept == march, "the share of the prices that were paid"
    assert without["earned"] != march["earned"]
    assert filled_in == without, "of which nothing was known until then"
    assert await shop.rows("SELECT print_part, print_whole FROM payments") == [{"print_part": 9, "print_whole": 10}]


async def test_who_may_see_the_report_and_what_is_refused(shop: Shop) -> None:
    for who, status in ((circulation(shop), 200), (shop.agent, 403), (shop.person("ada"), 403)):
        assert (await shop.get(REPORT, who)).status_code == status
    refused = {}
    for query in (
        {"month": "2026-13"},
        {"month": "2030-01"},
        {"at": "2030-01-01"},
        {"at": "2026-01-01", "month": "2026-01"},
    ):
        answer = await shop.get(REPORT, finance(shop), **query)
        refused[str(query)] = answer.status_code
    assert set(refused.values()) == {422}, refused
    early = await shop.post(f"{REPORT}/closings", finance(shop), {"month": "2029-12"})
    assert (early.status_code, early.json()["code"]) == (409, "month_not_over")


async def test_the_circulation_statement_counts_the_frozen_labels(shop: Shop) -> None:
    await shop.plan_issues(30)
    for name in ("ada", "ben", "cleo"):
        await shop.subscribe(shop.person(name), print_edition=name != "cleo")
    await move(shop, shop.person("ben"), {**HOME, "city": "Portland", "region": "ME", "postal_code": "04101"})
    await shop.advance_to(datetime(2026, 3, 20, tzinfo=UTC))
    await freeze(shop, 5)
    clerk = circulation(shop)
    path, period = "/v1/issues/5/circulation", {"from": "2026-03-05", "to": "2026-04-30"}
    empty = (await shop.get("/v1/reports/circulation", clerk, **period)).json()
    assert (empty["missing"], empty["not_frozen"], empty["nearest_issue"]) == ([5], [], 5), "not those to come"
    assert {one["nearest"] for one in empty["lines"]} == {None}
    earlier = (await shop.get("/v1/reports/circulation", clerk, **{**period, "from": "2026-03-01"})).json()
    assert (earlier["missing"], earlier["not_frozen"]) == ([4, 5], [4])

    body = {"press_run": 10, "dealer_sales": 1, "free_outside_mail": 2}
    put = await shop.http.put(path, headers=dict(clerk.headers), json=body)
    assert put.status_code == 200, put.text
    assert (await shop.http.put(path, headers=dict(finance(shop).headers), json=body)).status_code == 403
    found = (await shop.get("/v1/reports/circulation", finance(shop), **period)).json()

    nearest = {one["line"]: one["nearest"] for one in found["lines"]}
    assert {name: nearest[name] for name in ("15a", "15b1", "15b2", "15b3", "15c", "15d4", "15g", "16a")} == {
        "15a": 10, "15b1": 1, "15b2": 1, "15b3": 1, "15c": 3, "15d4": 2, "15g": 5, "16a": 1,
    }  # fmt: skip
    assert (nearest["15i"], found["nearest_issue"], found["missing"]) == (6_000, 5, [])
    assert {one["line"]: one["average"] for one in found["lines"]} == nearest == found["issues"][0]["lines"]
    text = (await shop.get(f"{path}.csv", clerk, line="15b2")).text
    (label,) = csv.DictReader(io.StringIO(text))
    assert (label["name"], label["paid_status"], label["amount_paid"]) == ("Ada Invented", "paid", "7300")
    assert len((await shop.get(f"{path}.csv", clerk, every="2")).text.splitlines()) == 2
    assert (await shop.get(f"{path}.csv", shop.agent)).status_code == 403
    assert (
        await shop.get("/v1/reports/circulation", clerk, **{"from": "2026-03-31", "to": "2026-03-01"})
    ).status_code == 422
