"""The email provider signs its reports of mail that came back, as Standard Webhooks prescribes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from app.domain.callers import ApiScope
from tests.journeys.notifications.test_bounces import REPORT, erase, key_with, subscriber
from tests.journeys.notifications.test_delivery import DATA, NEW, add, wait_for_status
from tests.support.mailbox import Mailbox
from tests.support.notices import open_mailing_shop
from tests.support.shop import Shop

NEW_SECRET, OLD_SECRET, OTHER_SECRET = (
    "whsec_" + base64.b64encode(bytes(range(first, first + 32))).decode() for first in (1, 50, 100)
)
PATH = "/v1/email-bounces"
BODY = json.dumps(REPORT)


@pytest.fixture
async def signing_shop(database: str, sandbox: Any, issuer: Any, mail: Mailbox) -> AsyncIterator[Shop]:
    """Provide a shop whose email provider signs, with a message that was sent; the secret is being replaced."""
    secrets = (SecretStr(NEW_SECRET), SecretStr(OLD_SECRET))
    async with open_mailing_shop(database, sandbox, issuer, mail, bounce_secrets=secrets) as opened:
        await add(opened, "ntf_1")
        await wait_for_status(opened, "ntf_1", "sent")
        yield opened


def signature(body: str = BODY, *, secret: str = NEW_SECRET, message: str = "msg_1", age: float = 0) -> dict[str, str]:
    """Return the headers of a report, signed some seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=age)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message, at, body),
    }


async def send(shop: Shop, headers: Mapping[str, Any], body: str | bytes = BODY) -> httpx2.Response:
    """Send a report."""
    return await shop.http.post(PATH, headers={"Content-Type": "application/json", **headers}, content=body)


async def bounces(shop: Shop) -> list[tuple[str | None, bool]]:
    """Return what is recorded about the messages: the words, and whether staff are to see it."""
    rows = await shop.rows("SELECT bounce, bounced_at IS NOT NULL AS is_shown FROM notifications ORDER BY id")
    return [(row["bounce"], row["is_shown"]) for row in rows]


@pytest.mark.parametrize("secret", [NEW_SECRET, OLD_SECRET], ids=["new secret", "old secret, during the rotation"])
async def test_a_signed_report_is_in_the_queue(signing_shop: Shop, secret: str) -> None:
    shop = signing_shop
    reported = await send(shop, signature(secret=secret))
    assert reported.status_code == 200, reported.text
    assert (reported.json()["id"], reported.json()["bounce"]) == ("ntf_1", "permanent: 550 5.1.1 no such user")
    (item,) = (await shop.get("/v1/support/queue", shop.agent, kind="notification")).json()["data"]
    assert (item["id"], item["why"]) == ("ntf_1", "permanent: 550 5.1.1 no such user")


async def test_several_signatures_of_which_one_is_ours_are_accepted(signing_shop: Shop) -> None:
    headers = signature()
    others = [signature(secret=OTHER_SECRET)["webhook-signature"], "v2,AAAA", "v1a,AAAA", ""]
    headers["webhook-signature"] = " ".join([*others, headers["webhook-signature"]])
    assert (await send(signing_shop, headers)).status_code == 200


async def test_a_repeated_report_counts_once(signing_shop: Shop) -> None:
    """Also after another report, and after staff have dismissed it."""
    shop = signing_shop
    assert (await send(shop, signature())).status_code == 200
    later = json.dumps(REPORT | {"kind": "temporary", "reason": "451 busy"})
    assert (await send(shop, signature(later, message="msg_2"), later)).status_code == 200
    dismissed = await shop.post("/v1/support/attention/ntf_1/dismiss", shop.agent, {"reason": "called her"})
    assert dismissed.status_code < 300, dismissed.text

    again = await asyncio.gather(*(send(shop, signature(age=second)) for second in range(3)))

    assert {one.status_code for one in again} == {200}
    assert {one.json()["bounce"] for one in again} == {"temporary: 451 busy"}
    assert (await shop.get("/v1/support/queue", shop.agent, kind="notification")).json()["data"] == []


async def test_two_deliveries_at_the_same_time_count_once(signing_shop: Shop) -> None:
    answers = await asyncio.gather(*(send(signing_shop, signature()) for _ in range(6)))
    assert {one.status_code for one in answers} <= {200, 409}, "409: the first is still running, so it is sent again"
    recorded = await signing_shop.rows("SELECT count(*)::int AS n FROM audit_log WHERE object_id = 'ntf_1'")
    assert recorded[0]["n"] == 1


async def test_a_report_that_is_not_signed_changes_nothing(signing_shop: Shop) -> None:
    wrong = {
        "another secret": signature(secret=OTHER_SECRET),
        "another body": signature(BODY + " "),
        "another ID": signature() | {"webhook-id": "msg_2"},
        "old": signature(age=301),
        "from the future": signature(age=-3600),
        "no signature": signature() | {"webhook-signature": "v1,"},
        "not ASCII": signature() | {"webhook-signature": "v1,\u00fc"},
        **{f"without {name}": {key: text for key, text in signature().items() if key != name} for name in signature()},
    }
    for case, headers in wrong.items():
        refused = await send(signing_shop, {name: text.encode("latin-1") for name, text in headers.items()})
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_signature"), case
    assert await bounces(signing_shop) == [(None, False)]
    assert await signing_shop.rows("SELECT 1 FROM idempotent_requests WHERE caller = 'email-provider'") == []


async def test_repeated_headers_are_refused(signing_shop: Shop) -> None:
    headers = [*signature().items(), ("webhook-id", "msg_2"), ("Content-Type", "application/json")]
    refused = await signing_shop.http.post(PATH, headers=headers, content=BODY)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_signature")


async def test_an_id_is_not_used_for_a_second_report(signing_shop: Shop) -> None:
    await add(signing_shop, "ntf_2")
    await wait_for_status(signing_shop, "ntf_2", "sent")
    assert (await send(signing_shop, signature())).status_code == 200
    other = json.dumps(REPORT | {"message_id": "<ntf_2@example.com>"})
    refused = await send(signing_shop, signature(other), other)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert (await bounces(signing_shop))[1] == (None, False)


async def test_a_signed_report_that_is_wrong_changes_nothing(signing_shop: Shop) -> None:
    for body, status in (
        (json.dumps(REPORT | {"kind": "odd"}), 422),
        (json.dumps(REPORT | {"message_id": "<somebody@else>"}), 404),
        ("[", 400),
    ):
        for _ in range(2):  # a refusal does not use the ID up
            refused = await send(signing_shop, signature(body), body)
            assert refused.status_code == status, refused.text
    assert await bounces(signing_shop) == [(None, False)]
    assert (await send(signing_shop, signature())).status_code == 200


async def test_an_api_key_needs_no_signature_but_excuses_no_wrong_one(signing_shop: Shop, sessions: Any) -> None:
    key = {"Authorization": f"Bearer {await key_with(signing_shop, sessions, ApiScope.WRITE_BOUNCES)}"}
    assert (await send(signing_shop, key | signature(secret=OTHER_SECRET))).status_code == 401
    assert (await send(signing_shop, {})).json()["code"] == "not_authenticated"
    assert await bounces(signing_shop) == [(None, False)]
    assert (await send(signing_shop, key)).status_code == 200


async def test_without_a_secret_no_signature_is_accepted(mailing_shop: Shop, mail: Mailbox) -> None:
    refused = await send(mailing_shop, signature())
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_signature")
    assert "No secret is configured" in refused.json()["detail"]


async def test_what_is_kept_of_a_signed_report_names_nobody(signing_shop: Shop) -> None:
    shop = signing_shop
    reader = await subscriber(shop)
    await shop.rows(NEW.replace("NULL", f"'{reader}'"), "ntf_2", "canceled", DATA["canceled"])
    await wait_for_status(shop, "ntf_2", "sent")
    body = json.dumps(REPORT | {"message_id": "ntf_2", "reason": "550 <ada@example.com> Ada Lovelace unknown"})
    assert (await send(shop, signature(body), body)).status_code == 200
    await erase(shop, reader)

    again = await send(shop, signature(body), body)

    assert again.status_code == 200, again.text
    assert "Ada Lovelace" not in again.text
    kept = await shop.rows("SELECT answer::text AS kept FROM idempotent_requests WHERE caller = 'email-provider'")
    assert [json.loads(row["kept"]) for row in kept] == [{"notification": "ntf_2"}]
