"""Webhook endpoints at the console: added, tested, replayed and deleted. A secret is shown once."""

import json

from tests.console.conftest import OpenConsole
from tests.support.shop import Shop

URL = "https://hooks.example.com/newsstand"


async def test_an_endpoint_is_managed_at_the_console(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    page = await alex.open("/webhook-endpoints")
    refused = await alex.submit(page, "/webhook-endpoints", name="the site", url="https://10.0.0.1/")
    assert (refused.status, "not a public address" in refused.text) == (422, True)
    made = await alex.submit(page, "/webhook-endpoints", name="the site", url=URL, **{"type:copy.mailed": "yes"})
    secret = next(field.attributes["value"] for field in made.find("input", id="secret"))
    assert (made.url.endswith("/webhook-endpoints/new"), secret.startswith("whsec_")) == (True, True)
    assert secret not in (await alex.browser.open(made.url)).text
    (row,) = await shop.rows("SELECT id, types FROM webhook_endpoints")
    one = f"/webhook-endpoints/{row['id']}"

    sent = await alex.submit(await alex.open(one), f"{row['id']}/test")
    rotated = await alex.submit(await alex.open(one), f"{row['id']}/rotate", overlap="3")
    replayed = await alex.submit(await alex.open(one), f"{row['id']}/replay", since="2026-03-01")
    off = await alex.submit(await alex.open(one), f"{row['id']}/disable")
    on = await alex.submit(await alex.open(one), f"{row['id']}/enable")
    late = await alex.submit(await alex.open(one), f"{row['id']}/replay", since="soon", delivered_too="yes")
    question = await alex.open(f"{one}/delete")
    assert len(await shop.rows("SELECT FROM webhook_endpoints")) == 1, "the page only asks"
    deleted = await alex.submit(question, f"{row['id']}/delete")

    assert row["types"] == ["copy.mailed"]
    assert "Sending the test obx_" in sent.text
    assert "Requests are signed with both secrets until" in rotated.text
    assert "Sending 0 events again." in replayed.text
    assert "The endpoint is disabled." in off.text
    assert "The endpoint is enabled." in on.text
    assert (late.status, late.form("/replay").values().get("delivered_too")) == (422, "yes"), "the check mark is kept"
    assert "Delete the webhook endpoint “the site”?" in question.text
    assert "There are no webhook endpoints." in deleted.text
    log = await shop.rows("SELECT action, after FROM audit_log WHERE action = 'webhook_endpoint.created'")
    assert secret not in json.dumps([dict(entry) for entry in log], default=str)
