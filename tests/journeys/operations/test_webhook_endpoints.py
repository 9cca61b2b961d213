"""Webhook endpoints by API, command line and console: who may, what is refused, and that a secret is shown once."""

from typing import Any

import httpx2
import pytest

from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.shop import Person, Shop, open_shop
from tests.support.webhook_receiver import LOOPBACK, receiving

URL = "https://hooks.example.com/newsstand"
PATH = "/v1/webhook-endpoints"


def admin_of(shop: Shop) -> Person:
    return shop.person("admin-1", roles=("admin",))


async def add(shop: Shop, **more: object) -> httpx2.Response:
    return await shop.post(PATH, admin_of(shop), {"name": "the site", "url": URL, **more})


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        pytest.param({"url": "https://169.254.169.254/latest"}, "private_address", id="metadata service"),
        pytest.param({"url": "http://hooks.example.com"}, "invalid_endpoint_url", id="not encrypted"),
        pytest.param({"secret": "whsec_c2hvcnQ="}, "invalid_webhook_secret", id="short secret"),
        pytest.param({"types": ["subscription.exploded"]}, "unknown_event_type", id="unknown type"),
        pytest.param({"name": ""}, "validation_failed", id="no name"),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(shop: Shop, wrong: dict[str, object], code: str) -> None:
    refused = await add(shop, **wrong)

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert await shop.rows("SELECT 1 FROM webhook_endpoints") == []


async def test_an_endpoint_is_added_used_and_deleted_by_api(database: str, sandbox: Any, issuer: Any) -> None:
    async with (
        open_shop(database, sandbox, issuer, webhook_networks=LOOPBACK) as shop,
        receiving() as site,
    ):
        admin = admin_of(shop)
        assert (await shop.post(PATH, shop.supervisor, {"name": "x", "url": site.url})).status_code == 403
        made = (await add(shop, url=site.url)).json()
        one = f"{PATH}/{made['endpoint']['id']}"
        await shop.subscribe(shop.person("ada"))
        await site.wait_for(2)
        tested = (await shop.post(f"{one}/test", admin)).json()
        await site.wait_for(3)
        await shop.wait_until("SELECT count(*) = 0 FROM webhook_lanes")
        listed = (await shop.get(f"{one}/deliveries", admin, limit="2")).json()
        rest = (await shop.get(f"{one}/deliveries", admin, after=listed["next"])).json()
        replayed = await shop.post(f"{one}/replay", admin, {"event": site.ids[0]})
        await site.wait_for(4)
        rotated = (await shop.post(f"{one}/rotate", admin, {"overlap_hours": 1})).json()
        off = (await shop.post(f"{one}/disable", admin)).json()
        refused = await shop.post(f"{one}/replay", admin, {"since": "2026-03-01T00:00:00Z"})
        on = (await shop.post(f"{one}/enable", admin)).json()
        deleted = await shop.http.delete(one, headers=dict(admin.headers))
        gone = await shop.get(f"{one}/deliveries", admin)
        written = await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'webhook_endpoint.%' ORDER BY id")

    site.verify(made["secret"])
    assert [body["type"] for body in site.bodies[:2]] == ["subscription.started", "entitlements.changed"]
    assert site.ids[2:] == [tested["event"], site.ids[0]]
    assert [one["status"] for one in listed["data"] + rest["data"]] == ["delivered"] * 3
    assert replayed.json() == {"queued": 1}
    assert rotated["secret"] != made["secret"]
    assert (off["status"], on["status"]) == ("disabled", "enabled")
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_disabled")
    assert (deleted.status_code, gone.status_code) == (204, 404)
    assert [row["action"].partition(".")[2] for row in written] == [
        "created", "tested", "replayed", "rotated", "disabled", "enabled", "deleted",
    ]  # fmt: skip


async def test_an_endpoint_is_managed_by_command(shop: Shop) -> None:
    async def run(*words: str) -> tuple[int, str, str]:
        return await newsstand(shop.settings, "webhook-endpoints", *words)

    refused = await run("add", "https://127.0.0.1/")
    status, secret, _ = await run("add", URL, "--name", "the site", "--type", "copy.mailed")
    (row,) = await shop.rows("SELECT id, types, encrypted_secret FROM webhook_endpoints")
    _, rotated, _ = await run("rotate", row["id"], "--overlap", "2h")
    await run("disable", row["id"])
    _, listed, _ = await run("list")
    await run("enable", row["id"])
    _, tested, _ = await run("test", row["id"])
    _, replayed, _ = await run("replay", row["id"], "--since", "1d")
    removed = await run("remove", row["id"])

    assert (refused[0], "not a public address" in refused[2]) == (1, True)
    assert (status, secret.startswith("whsec_"), row["types"]) == (0, True, ["copy.mailed"])
    assert secret.strip() not in row["encrypted_secret"]
    assert rotated.startswith("whsec_")
    assert f"{row['id']}  disabled  {URL}  copy.mailed  the site" in listed
    assert tested.startswith("obx_")
    assert replayed.strip() == "Queued: 0"
    assert removed[0] == 0
    assert await shop.rows("SELECT 1 FROM webhook_endpoints") == []
