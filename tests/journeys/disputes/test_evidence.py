"""Evidence for a dispute: what a reader saw, agreed to and was told, kept unchanged."""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.shop import START_TIME, Shop

CONSENT = {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11)", "terms_version": "2026-03"}


async def evidence(shop: Shop) -> dict[str, Any]:
    """Return the evidence about Ada, as support."""
    reader = (await shop.overview(shop.person()))["id"]
    answer = await shop.get(f"/v1/support/subscribers/{reader}/evidence", shop.agent)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_what_was_agreed_is_kept_and_fills_stripes_fields(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada, consent=CONSENT)
    found = await evidence(shop)
    (consent,) = found["consents"]
    assert {name: consent[name] for name in CONSENT} == CONSENT
    assert consent["subscription"] is not None
    assert consent["shown"]["renewal"] == "Renews every year for $49 until you cancel. Cancel anytime."
    assert consent["shown"]["guarantee"] == "60-Day money back guarantee!"
    assert consent["shown"]["total"]["amount"] == 49_00
    fields = found["stripe"]
    assert (fields["customer_purchase_ip"], fields["customer_email_address"]) == ("203.0.113.7", "ada@example.com")
    assert "2026-03-01 18:00:00 UTC" in fields["refund_policy_disclosure"]
    assert fields["cancellation_policy_disclosure"].endswith("Cancel anytime.")
    assert all(len(text) <= 20_000 for text in fields.values())
    assert consent["digest"] in found["text"]
    viewed = await shop.rows("SELECT viewer FROM reader_views WHERE viewer = 'staff:agent'")
    assert viewed


async def test_same_checkout_opened_again_is_one_consent(shop: Shop) -> None:
    ada = shop.person()
    for _ in range(2):
        assert (await shop.open_checkout(ada, consent=CONSENT)).status_code == 201
    assert len(await shop.rows("SELECT id FROM consents")) == 1
    other = {**CONSENT, "terms_version": "2026-04"}
    assert (await shop.open_checkout(ada, consent=other)).status_code == 201
    assert len(await shop.rows("SELECT id FROM consents")) == 2


@pytest.mark.parametrize(
    "consent",
    [
        {"ip": "not an address"},
        {"ip": "203.0.113.7, 10.0.0.1"},
        {"user_agent": "x" * 501},
        {"user_agent": "a\u202eb"},
        {"terms_version": ""},
        {"agreed": True},
        "yes",
    ],
)
async def test_wrong_consent_opens_no_checkout(shop: Shop, consent: object) -> None:
    refused = await shop.open_checkout(shop.person(), consent=consent)
    assert refused.status_code == 422, refused.text
    assert await shop.rows("SELECT id FROM checkouts") == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consents SET shown = '{}'",
        "UPDATE consents SET agreed_at = now()",
        "UPDATE consents SET ip = '203.0.113.8'",
        "UPDATE consents SET terms_version = NULL",
        "UPDATE consents SET digest = 'another'",
        "DELETE FROM consents",
        "UPDATE declarations SET received_at = now()",
        'UPDATE declarations SET words = \'{"name": "Bob"}\'',
        "UPDATE declarations SET acknowledgment = 'Never received'",
        "UPDATE declarations SET kind = 'withdrawal'",
        "DELETE FROM declarations",
    ],
)
async def test_proofs_can_not_be_changed(shop: Shop, statement: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada, consent=CONSENT)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await shop.execute(  # in real time, which decides how long they are kept
        "INSERT INTO consents (id, checkout_id, subscriber_id, agreed_at, shown, digest, ip, terms_version)"
        " SELECT 'cns_2', checkout_id, subscriber_id, now(), shown, 'other', ip, terms_version FROM consents"
    )
    await shop.execute(
        "INSERT INTO declarations (id, kind, channel, received_at, subscriber_id, words, acknowledgment, status, work_key)"
        " SELECT 'dcl_2', kind, channel, now(), subscriber_id, words, acknowledgment, status, 'w' FROM declarations"
    )
    with pytest.raises(asyncpg.RaiseError):
        await shop.execute(statement.replace("now()", "clock_timestamp()"))


async def test_erasing_removes_the_person_and_keeps_the_proof(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada, consent=CONSENT)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.advance_to(START_TIME + timedelta(days=70))
    reader = (await shop.overview(ada))["id"]
    officer = shop.person("officer", roles=("privacy",))
    ordered = await shop.post(f"/v1/support/subscribers/{reader}/erase", officer, {"without_refund": True})
    assert ordered.status_code < 300, ordered.text
    await shop.wait_until("SELECT finished_at IS NOT NULL FROM erasures")
    (consent,) = await shop.rows(
        "SELECT ip, user_agent, terms_version, shown ->> 'title' AS title, digest = id AS digest FROM consents"
    )
    assert consent.pop("digest"), "the address could be computed from it"
    assert consent == {"ip": None, "user_agent": None, "terms_version": "2026-03", "title": "24 Issues Per Year"}
    (declared,) = await shop.rows("SELECT kind, words, acknowledgment FROM declarations")
    assert declared == {"kind": "cancellation", "words": "{}", "acknowledgment": ""}
