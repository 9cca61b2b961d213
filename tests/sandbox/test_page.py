"""The page at `/`: what it shows of an account, what its forms do, and whom it refuses."""

import json
import re
from typing import Any

import httpx2
import pytest

from tests.sandbox.shop import DAY, HOUR, OPENING, Receiver, Shop


async def page(shop: Shop, **query: str) -> httpx2.Response:
    return await shop.browser.get(f"{shop.url}/", params={"key": shop.key, **query})


async def press(shop: Shop, form: str, /, **fields: str) -> httpx2.Response:
    """Send a form of the page as a browser does, and follow it back."""
    return await sent(shop, form, fields, {"Origin": shop.url, "Sec-Fetch-Site": "same-origin"})


async def sent(shop: Shop, form: str, fields: dict[str, str], headers: dict[str, str]) -> httpx2.Response:
    url = f"{shop.url}/_sandbox/page/{form}"
    return await shop.browser.post(url, data={"key": shop.key, **fields}, headers=headers, follow_redirects=True)


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


async def test_it_shows_the_objects_of_an_account_with_links_between_them(shop: Shop) -> None:
    await shop.subscribe()
    session = await shop.checkout()
    seen = await page(shop)
    assert seen.status_code == 200
    subscription = (await shop.v1.subscriptions.list_async()).data[0]
    payment = await shop.payment_intent_of(subscription.latest_invoice)
    for each in (subscription.id, subscription.customer, subscription.latest_invoice, payment.id, session.id):
        assert f'/?key={shop.key}&amp;object={each}"' in seen.text
    assert "$49.00" in seen.text
    shown = await page(shop, object=subscription.id)
    assert f"object={subscription.customer}" in shown.text
    assert f"object={subscription.latest_invoice}" in shown.text


async def test_it_shows_what_became_of_each_delivery_and_an_event_can_be_replayed(
    shop: Shop, receiver: Receiver
) -> None:
    await shop.settings(retry_schedule="stripe")
    await shop.listen(receiver.url)
    receiver.answers = [500]
    await shop.customer(method=None)
    await shop.idle()
    assert '<span class="tag bad">500</span>' in (await page(shop)).text
    event = await shop.event("customer.created")
    answer = await press(shop, "replay", event=event.id)
    assert "customer.created was delivered again: 200." in answer.text
    assert '<span class="tag good">200</span>' in answer.text
    assert json.loads(receiver.received[1][0])["id"] == event.id


async def test_it_winds_deliveries_and_advances_a_test_clock(shop: Shop, receiver: Receiver) -> None:
    await shop.settings(retry_schedule="stripe")
    await shop.listen(receiver.url, "customer.created")
    receiver.answers = [500]
    clock = await shop.clock()
    await shop.customer(method=None)
    await shop.idle()
    assert "attempts on the way: 1" in (await press(shop, "wind", seconds=str(2 * HOUR))).text
    await press(shop, "advance", clock=clock.id, seconds=str(DAY))
    await shop.idle()
    assert (await shop.v1.test_helpers.test_clocks.retrieve_async(clock.id)).frozen_time == OPENING + DAY


async def test_it_switches_faults_and_settings(shop: Shop) -> None:
    wanted = settings(order="any", loss="0.25", rate_limits="on")
    del wanted["deliver"]
    assert "The settings are changed" in (await press(shop, "settings", **wanted)).text
    now = (await shop.control.get("/_sandbox/settings")).json()
    assert (now["deliver"], now["order"], now["loss"], now["rate_limits"]) == (False, "any", 0.25, True)
    added = await press(shop, "faults", action="status", path="/v1/account", method="*", when="", status="503")
    assert "fault_1 is in force" in added.text
    assert (await shop.raw("GET", "/v1/account")).status_code == 503
    assert "fault_1 is gone" in (await press(shop, "faults/delete", fault="fault_1")).text


@pytest.mark.parametrize(
    ("form", "fields", "told"),
    [
        pytest.param("settings", settings(loss="2"), "Invalid loss: 2", id="a setting"),
        pytest.param("settings", settings(seed="x"), "seed is a number", id="no number"),
        pytest.param("settings", settings(loss="nan"), "loss is a number", id="not a number"),
        pytest.param("settings", settings(seed="inf"), "seed is a number", id="infinite"),
        pytest.param("faults", {"action": "explode", "path": "/v1/*", "method": "*"}, "action is one of", id="a fault"),
        pytest.param("faults/delete", {"fault": "fault_9"}, "No such fault", id="no such fault"),
        pytest.param("replay", {"event": "evt_none"}, "No such event", id="no such event"),
        pytest.param("advance", {"clock": "clock_none", "seconds": "1"}, "No such test clock", id="no such clock"),
        pytest.param("wind", {"seconds": "-5"}, "wound forward", id="backwards"),
        pytest.param("replay", {"key": "sk_live_123"}, "never takes a live key", id="a live key"),
    ],
)
async def test_what_makes_no_sense_is_told_on_the_page(
    shop: Shop, form: str, fields: dict[str, str], told: str
) -> None:
    before = (await shop.control.get("/_sandbox/settings")).json()
    answer = await press(shop, form, **fields)
    assert 400 <= answer.status_code < 500
    assert re.search(f'role="alert"><p>[^<]*{re.escape(told)}', answer.text)
    assert (await shop.control.get("/_sandbox/settings")).json() == before


async def test_a_script_in_a_name_is_shown_as_it_is_written(shop: Shop) -> None:
    script = "<script>alert('ada')</script>"
    customer = await shop.customer(method=None, name=script, metadata={script: script})
    for seen in (await page(shop), await page(shop, object=customer.id), await page(shop, object=script)):
        assert "alert(" in seen.text
        assert "<script>alert" not in seen.text


async def test_it_runs_no_script_but_its_own_and_works_without(shop: Shop) -> None:
    seen = await page(shop)
    policy = seen.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in seen.text
    assert re.findall(r"<script[^>]*>[^<]*", seen.text) == ['<script src="/_sandbox/page/live.js" defer>']
    live = await shop.browser.get(f"{shop.url}/_sandbox/page/live.js")
    assert live.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}, id="another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another port"),
        pytest.param({"Origin": "null"}, id="an origin that hides"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, id="another origin, of an old browser"),
        pytest.param({"X-Nothing": "told"}, id="nothing told"),
    ],
)
async def test_a_form_of_another_page_is_refused(shop: Shop, headers: dict[str, str]) -> None:
    answer = await sent(shop, "settings", settings(loss="1"), headers)
    assert answer.status_code == 403
    assert (await shop.control.get("/_sandbox/settings")).json()["loss"] == 0


@pytest.mark.parametrize("host", ["sandbox.example", "127.0.0.1.nip.example:4242"])
async def test_a_name_that_leads_here_from_elsewhere_is_refused(shop: Shop, host: str) -> None:
    assert (await shop.browser.get(f"{shop.url}/", headers={"Host": host})).status_code == 403


async def test_every_field_has_a_label_and_no_id_is_used_twice(shop: Shop) -> None:
    await shop.clock()
    await shop.fault(path="/v1/account", action="drop")
    await shop.subscribe()
    text = (await page(shop)).text
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    fields: list[Any] = re.findall(r'<(?:input|select)(?![^>]*type="hidden")[^>]*\sid="([^"]+)"', text)
    assert len(fields) == len(re.findall(r'<(?:input|select)(?![^>]*type="hidden")', text))
    assert [each for each in fields if f'<label for="{each}"' not in text] == []


async def test_an_object_that_is_not_there_is_told(shop: Shop) -> None:
    answer = await page(shop, object="cus_none")
    assert answer.status_code == 404
    assert "no object cus_none" in answer.text
