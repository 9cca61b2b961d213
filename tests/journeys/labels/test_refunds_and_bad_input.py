"""Refunds around the label cut-off, and what can't be printed."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.labels import (
    CABIN,
    HOME,
    NEW_HOME,
    circulation,
    download,
    freeze,
    labels,
    move,
    preview,
    try_to_freeze,
)
from tests.support.refunds import UNSERVED, get_quotes, payment_ids
from tests.support.shop import Shop

ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_a_refund_the_day_before_the_cutoff_removes_the_copy_and_the_day_after_not(shop: Shop) -> None:
    await shop.plan_issues(30)
    before, after = shop.person("ada"), shop.person("ben")
    for reader in (before, after):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CUTOFF - DAY)
    await _use_guarantee(shop, before.sub)
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 1
    await shop.advance_to(CUTOFF + DAY)
    await _use_guarantee(shop, after.sub)

    run = await freeze(shop, ISSUE)
    (label,) = await labels(shop, ISSUE)

    assert (run["counts"]["copies"], label["issue"] if "issue" in label else str(ISSUE)) == (1, str(ISSUE))
    served = await shop.rows(
        "SELECT s.sub FROM labels l JOIN subscriptions o ON o.id = l.subscription_id"
        " JOIN subscribers s ON s.id = o.subscriber_id"
    )
    assert served == [{"sub": "ben"}]
    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"
    await shop.advance_to(CUTOFF + 16 * DAY)
    assert (await freeze(shop, ISSUE + 1))["counts"]["copies"] == 0


async def test_a_name_that_looks_like_a_formula_is_only_text(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await move(shop, ada, {**HOME, "name": "=cmd|' /C calc'!A0", "company": "＠SUM(1)", "line1": "－1 Street"})
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)

    (label,) = await labels(shop, ISSUE)
    assert [label[name] for name in ("name", "company", "line1")] == ["'=cmd|' /C calc'!A0", "'＠SUM(1)", "'－1 Street"]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        pytest.param({"postal_code": ""}, 422, "address_incomplete", id="no postal code"),
        pytest.param(
            {"country": "FR", "region": "", "postal_code": "75001"}, 409, "country_not_served", id="not served"
        ),
        pytest.param({"line1": "x" * 300}, 422, "validation_failed", id="too long"),
        pytest.param({"from": "2026-04-01"}, 422, "temporary_dates_wrong", id="half a period"),
        pytest.param({"from": "2020-01-01", "until": "2020-02-01"}, 422, "temporary_dates_wrong", id="over"),
        pytest.param({"from": "2026-04-01", "until": "2999-01-01"}, 422, "temporary_dates_wrong", id="for ever"),
    ],
)
async def test_a_wrong_address_changes_nothing(shop: Shop, changed: dict[str, str], status: int, code: str) -> None:
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    before = (await shop.get("/v1/me/address", ada)).json()

    answer = await shop.http.put("/v1/me/address", headers=dict(ada.headers), json={**HOME, **changed})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await shop.get("/v1/me/address", ada)).json() == before


async def test_an_unknown_issue_and_a_reader_are_refused(shop: Shop) -> None:
    ada = shop.person("ada")

    assert (await try_to_freeze(shop, 99)).status_code == 404
    assert (await shop.post("/v1/issues/5/label-run", ada, {"dry_run": True})).status_code == 403
    assert (await shop.post("/v1/issues/5/label-run", circulation(shop), {})).json()[
        "code"
    ] == "idempotency_key_required"
    assert (await shop.get("/v1/support/subscribers/rdr_1/address", ada)).status_code == 403


async def test_a_refund_between_cutoff_and_freeze_does_not_pay_for_the_copy_that_is_sent(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    (payment,) = await payment_ids(shop, ada)

    async def quoted() -> tuple[int, int]:
        quote = (await get_quotes(shop, payment))[UNSERVED]
        return quote["amount"]["amount"], quote["issues"]["served"]

    await shop.advance_to(CUTOFF - DAY)
    whole = await quoted()
    await shop.advance_to(CUTOFF + DAY)
    before = await quoted()
    await freeze(shop, ISSUE)

    assert (whole[1], before[1]) == (0, 1)
    assert before == await quoted()
    assert before[0] < whole[0]


async def test_the_calendar_of_a_frozen_issue_can_only_slip(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    issue = (await shop.get(f"/v1/issues/{ISSUE}", circulation(shop))).json()
    body = {name: issue[name] for name in ("title", "cover_date", "planned_mail_date", "label_cutoff", "counts_as")}

    async def put(**changed: object) -> tuple[int, object]:
        answer = await shop.http.put(
            f"/v1/issues/{ISSUE}", headers=dict(circulation(shop).headers), json={**body, **changed}
        )
        return answer.status_code, answer.json().get("code")

    assert await put(counts_as=2) == (409, "issue_frozen")
    assert await put(label_cutoff="2026-03-07") == (409, "issue_frozen")
    assert await put(label_cutoff="2026-03-30") == (422, "issue_dates_wrong")
    assert await put(cover_date="9999-12-31") == (422, "issue_dates_wrong")
    assert await put(actual_mail_date="2026-03-19") == (200, None)


async def test_an_erased_reader_leaves_the_counts_and_no_address(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, officer = shop.person("ada"), shop.person("officer", roles=("privacy",))
    for reader in (ada, shop.person("ben")):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(CUTOFF)
    run = await freeze(shop, ISSUE)
    before = await download(shop, ISSUE)
    erased = (await shop.overview(ada))["id"]

    answer = await shop.post(
        f"/v1/support/subscribers/{erased}/erase", officer, {"without_refund": True}, **{"Idempotency-Key": "erase"}
    )
    assert answer.status_code in {200, 201, 202}, answer.text
    await shop.wait_until("SELECT count(*) = 1 FROM labels WHERE lines IS NULL")

    (after,) = (await shop.get(f"/v1/issues/{ISSUE}/label-run", circulation(shop))).json()["data"]
    assert (after["erased"], after["repeatable"], after["counts"]) == (1, False, run["counts"])
    file = await shop.get(f"/v1/issues/{ISSUE}/label-run.csv", circulation(shop))
    assert (file.headers["X-Newsstand-Erased"], file.headers["X-Newsstand-Copies"]) == ("1", "2")
    assert file.content != before
    assert sorted(label["name"] for label in await labels(shop, ISSUE)) == ["", "Ada Invented"]


async def test_support_saves_and_removes_addresses_of_a_reader(shop: Shop) -> None:
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada, print_edition=True)
    await shop.plan_issues(30)
    path = f"/v1/support/subscribers/{(await shop.overview(ada))['id']}/address"
    by = dict(shop.agent.headers)

    moved = await shop.http.put(path, headers=by, json=NEW_HOME)
    away = await shop.http.put(path, headers=by, json={**CABIN, "from": "2026-04-01", "until": "2026-05-01"})
    (temporary,) = away.json()["temporary"]
    overlaps = await shop.http.put(path, headers=by, json={**CABIN, "from": "2026-04-30", "until": "2026-05-10"})

    assert (moved.json()["address"]["city"], temporary["until"]) == ("Portland", "2026-05-01")
    assert (overlaps.status_code, overlaps.json()["code"]) == (409, "temporary_address_overlaps")
    own = f"/v1/me/address/temporary/{temporary['id']}"
    assert (await shop.http.delete(own, headers=dict(ben.headers))).status_code == 404
    assert (await shop.http.delete(f"{path}/temporary/adr_other", headers=by)).status_code == 404
    assert (await shop.http.put(path, headers=dict(ben.headers), json=HOME)).status_code == 403
    assert (await shop.http.delete(f"{path}/temporary/{temporary['id']}", headers=by)).json()["temporary"] == []
    assert (await shop.http.delete(own, headers=dict(ada.headers))).status_code == 404
    actions = await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'address.%' ORDER BY id")
    assert [row["action"] for row in actions][-3:] == ["address.changed", "address.added", "address.removed"]


async def _use_guarantee(shop: Shop, sub: str) -> None:
    by = shop.people[sub]
    quote = (await shop.get("/v1/me/refund-quote", by)).json()
    answer = await shop.post(
        "/v1/me/refunds", by, {"expected_amount": quote["amount"]}, **{"Idempotency-Key": f"guarantee-{sub}"}
    )
    assert answer.status_code in {201, 202}, answer.text
    await shop.wait_until_idle()
