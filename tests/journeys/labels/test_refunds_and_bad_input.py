"""Refunds around the label cut-off, and what can't be printed."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.labels import HOME, circulation, freeze, labels, move, preview, try_to_freeze
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
    await move(shop, ada, {**HOME, "name": "=cmd|' /C calc'!A0"})
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)

    (label,) = await labels(shop, ISSUE)
    assert label["name"] == "'=cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        pytest.param({"postal_code": ""}, 422, "address_incomplete", id="no postal code"),
        pytest.param(
            {"country": "FR", "region": "", "postal_code": "75001"}, 409, "country_not_served", id="not served"
        ),
        pytest.param({"line1": "x" * 300}, 422, "validation_failed", id="too long"),
        pytest.param({"from": "2026-04-01"}, 422, "temporary_dates_wrong", id="half a period"),
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


async def _use_guarantee(shop: Shop, sub: str) -> None:
    by = shop.people[sub]
    quote = (await shop.get("/v1/me/refund-quote", by)).json()
    answer = await shop.post(
        "/v1/me/refunds", by, {"expected_amount": quote["amount"]}, **{"Idempotency-Key": f"guarantee-{sub}"}
    )
    assert answer.status_code in {201, 202}, answer.text
    await shop.wait_until_idle()
