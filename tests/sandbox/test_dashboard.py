"""The dashboard at `/`."""

import json
import re
from typing import Any

import httpx2
import pytest

from tests.sandbox.client import DAY, HOUR, OPENING, Receiver, SandboxAccount


async def dashboard_page(account: SandboxAccount, **query: str) -> httpx2.Response:
    return await account.browser.get(f"{account.url}/", params={"key": account.key, **query})


async def submit_form(account: SandboxAccount, form: str, /, **fields: str) -> httpx2.Response:
    """Submit a form as a browser does, and follow the redirect."""
    return await post_form(account, form, fields, {"Origin": account.url, "Sec-Fetch-Site": "same-origin"})


async def post_form(
    account: SandboxAccount, form: str, fields: dict[str, str], headers: dict[str, str]
) -> httpx2.Response:
    url = f"{account.url}/_sandbox/page/{form}"
    return await account.browser.post(url, data={"key": account.key, **fields}, headers=headers, follow_redirects=True)


def settings(**other: str) -> dict[str, str]:
    return {
        "deliver": "on",
        "order": "made",
        "retry_schedule": "seconds",
        "duplicates": "0",
        "loss": "0",
        "delay_seconds": "0",
        "seed": "1",
        **other,
    }


async def test_the_dashboard_shows_objects_with_links_between_them(account: SandboxAccount) -> None:
    await account.subscribe()
    session = await account.checkout()
    seen = await dashboard_page(account)
    assert seen.status_code == 200
    subscription = (await account.v1.subscriptions.list_async()).data[0]
    payment = await account.payment_intent_of(subscription.latest_invoice)
    for each in (subscription.id, subscription.customer, subscription.latest_invoice, payment.id, session.id):
        assert f'/?key={account.key}&amp;object={each}"' in seen.text
    assert "$49.00" in seen.text
    shown = await dashboard_page(account, object=subscription.id)
    assert f"object={subscription.customer}" in shown.text
    assert f"object={subscription.latest_invoice}" in shown.text


async def test_the_dashboard_shows_deliveries_and_can_redeliver_an_event(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await account.settings(retry_schedule="stripe")
    await account.add_endpoint(receiver.url)
    receiver.answers = [500]
    await account.customer(method=None)
    await account.idle()
    assert '<span class="tag bad">500</span>' in (await dashboard_page(account)).text
    event = await account.event("customer.created")
    answer = await submit_form(account, "replay", event=event.id)
    assert "Redelivered customer.created: 200." in answer.text
    assert '<span class="tag good">200</span>' in answer.text
    assert json.loads(receiver.received[1][0])["id"] == event.id


async def test_the_dashboard_advances_webhook_retries_and_test_clocks(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await account.settings(retry_schedule="stripe")
    await account.add_endpoint(receiver.url, "customer.created")
    receiver.answers = [500]
    clock = await account.clock()
    await account.customer(method=None)
    await account.idle()
    assert "New attempts: 1" in (await submit_form(account, "wind", seconds=str(2 * HOUR))).text
    await submit_form(account, "advance", clock=clock.id, seconds=str(DAY))
    await account.idle()
    assert (await account.v1.test_helpers.test_clocks.retrieve_async(clock.id)).frozen_time == OPENING + DAY


async def test_the_dashboard_changes_faults_and_settings(account: SandboxAccount) -> None:
    wanted = settings(order="any", loss="0.25", rate_limits="on")
    del wanted["deliver"]
    assert "Settings saved" in (await submit_form(account, "settings", **wanted)).text
    now = (await account.control.get("/_sandbox/settings")).json()
    assert (now["deliver"], now["order"], now["loss"], now["rate_limits"]) == (False, "any", 0.25, True)
    added = await submit_form(account, "faults", action="status", path="/v1/account", method="*", when="", status="503")
    assert "Fault fault_1 added" in added.text
    assert (await account.request("GET", "/v1/account")).status_code == 503
    assert "Fault fault_1 deleted" in (await submit_form(account, "faults/delete", fault="fault_1")).text


@pytest.mark.parametrize(
    ("form", "fields", "expected"),
    [
        pytest.param("settings", settings(loss="2"), "Invalid loss: 2", id="a setting"),
        pytest.param("settings", settings(seed="x"), "seed must be a number", id="no number"),
        pytest.param("settings", settings(loss="nan"), "loss must be a number", id="not a number"),
        pytest.param("settings", settings(seed="inf"), "seed must be a number", id="infinite"),
        pytest.param(
            "faults", {"action": "explode", "path": "/v1/*", "method": "*"}, "action must be one of", id="a fault"
        ),
        pytest.param("faults/delete", {"fault": "fault_9"}, "No such fault", id="no such fault"),
        pytest.param("replay", {"event": "evt_none"}, "No such event", id="no such event"),
        pytest.param("advance", {"clock": "clock_none", "seconds": "1"}, "No such test clock", id="no such clock"),
        pytest.param("wind", {"seconds": "-5"}, "whole number from 1 to", id="backwards"),
        pytest.param("replay", {"key": "sk_live_123"}, "does not accept live keys", id="a live key"),
    ],
)
async def test_invalid_input_is_reported_on_the_dashboard(
    account: SandboxAccount, form: str, fields: dict[str, str], expected: str
) -> None:
    before = (await account.control.get("/_sandbox/settings")).json()
    answer = await submit_form(account, form, **fields)
    assert 400 <= answer.status_code < 500
    assert re.search(f'role="alert"><p>[^<]*{re.escape(expected)}', answer.text)
    assert (await account.control.get("/_sandbox/settings")).json() == before


async def test_a_script_in_a_name_is_escaped(account: SandboxAccount) -> None:
    script = "<script>alert('ada')</script>"
    customer = await account.customer(method=None, name=script, metadata={script: script})
    for seen in (
        await dashboard_page(account),
        await dashboard_page(account, object=customer.id),
        await dashboard_page(account, object=script),
    ):
        assert "alert(" in seen.text
        assert "<script>alert" not in seen.text


async def test_the_dashboard_runs_only_its_own_script(account: SandboxAccount) -> None:
    seen = await dashboard_page(account)
    policy = seen.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in seen.text
    assert re.findall(r"<script[^>]*>[^<]*", seen.text) == ['<script src="/_sandbox/page/live.js" defer>']
    live = await account.browser.get(f"{account.url}/_sandbox/page/live.js")
    assert live.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another port"),
        pytest.param({"Origin": "null"}, id="an origin that hides"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, id="another origin, of an old browser"),
        pytest.param({"X-Nothing": "expected"}, id="nothing expected"),
    ],
)
async def test_forms_of_other_sites_are_rejected(account: SandboxAccount, headers: dict[str, str]) -> None:
    answer = await post_form(account, "settings", settings(loss="1"), headers)
    assert answer.status_code == 403
    assert (await account.control.get("/_sandbox/settings")).json()["loss"] == 0


@pytest.mark.parametrize("host", ["sandbox.example", "127.0.0.1.nip.example:4242"])
async def test_requests_with_another_host_name_are_rejected(account: SandboxAccount, host: str) -> None:
    assert (await account.browser.get(f"{account.url}/", headers={"Host": host})).status_code == 403


async def test_all_fields_have_labels_and_ids_are_unique(account: SandboxAccount) -> None:
    await account.clock()
    await account.fault(path="/v1/account", action="drop")
    await account.subscribe()
    text = (await dashboard_page(account)).text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    fields: list[Any] = re.findall(r'<(?:input|select)(?![^>]*type="hidden")[^>]*\sid="([^"]+)"', text)
    assert len(fields) == len(re.findall(r'<(?:input|select)(?![^>]*type="hidden")', text))
    assert [each for each in fields if f'<label for="{each}"' not in text] == []


async def test_a_missing_object_shows_an_error(account: SandboxAccount) -> None:
    answer = await dashboard_page(account, object="cus_none")
    assert answer.status_code == 404
    assert "No such object in this account: cus_none" in answer.text
