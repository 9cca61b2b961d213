"""Webhook delivery settings, retries and secret rotation."""

import json
from typing import Any

import httpx2
import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, Receiver, SandboxAccount
from tests.support.timeouts import TIMEOUT


def names(receiver: Receiver) -> list[str]:
    return [json.loads(body)["data"]["object"]["name"] for body, _ in receiver.received]


def client_of(url: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT)


async def deliver_customers(account: SandboxAccount, receiver: Receiver, count: int, **settings: Any) -> list[str]:
    """Create customers named by number while deliveries are held. Return the names in the order received."""
    receiver.received.clear()
    await account.settings(deliver=False, **settings)
    for number in range(count):
        await account.v1.customers.create_async({"name": str(number)})
    await account.settings(deliver=True)
    await account.idle()
    return names(receiver)


async def advance(account: SandboxAccount, seconds: object) -> dict[str, Any]:
    answer = await account.control.post("/_sandbox/deliveries/wind", json={"seconds": seconds})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def waiting(account: SandboxAccount) -> list[dict[str, Any]]:
    return list((await account.control.get("/_sandbox/deliveries")).json()["waiting"])


async def undelivered(account: SandboxAccount) -> int:
    return len((await account.v1.events.list_async({"delivery_success": False, "limit": 100})).data)


async def test_shuffled_deliveries_are_repeatable_with_the_same_seed(
    account: SandboxAccount, receiver: Receiver
) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    arrived = await deliver_customers(account, receiver, 12, order="any", seed=7)
    assert arrived != sorted(arrived, key=int)
    assert sorted(arrived, key=int) == [str(number) for number in range(12)]
    for body, signature in receiver.received:
        assert stripe.Webhook.construct_event(body, signature, endpoint.secret)


async def test_the_same_seed_gives_the_same_deliveries(sandbox_url: str, receiver: Receiver) -> None:
    async def run(key: str, seed: int) -> list[str]:
        http = stripe.AIOHTTPClient()
        client = stripe.StripeClient(key, base_addresses={"api": sandbox_url}, http_client=http)
        async with client_of(sandbox_url, key) as control, client_of(sandbox_url, key) as browser:
            account = SandboxAccount(url=sandbox_url, key=key, client=client, control=control, browser=browser)
            await account.add_endpoint(receiver.url, "customer.created")
            arrived = await deliver_customers(account, receiver, 20, order="any", seed=seed, loss=0.3, duplicates=0.3)
            await account.settings(deliver=False)
        await http.close_async()  # type: ignore[no-untyped-call]
        return arrived

    first, again, other = [await run(f"sk_test_seed{n}", seed) for n, seed in enumerate((3, 3, 4))]
    assert first == again
    assert first != other
    assert len(set(first)) < 20, "some are lost"
    assert len(set(first)) < len(first), "some are doubled"


async def test_deliveries_can_be_duplicated(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    assert sorted(await deliver_customers(account, receiver, 3, duplicates=1)) == ["0", "0", "1", "1", "2", "2"]
    assert await undelivered(account) == 0


async def test_lost_deliveries_are_not_retried_and_can_be_found_by_listing(
    account: SandboxAccount, receiver: Receiver
) -> None:
    await account.add_endpoint(receiver.url)
    assert await deliver_customers(account, receiver, 3, loss=1) == []
    assert await undelivered(account) == 3
    assert "Lost" in (await account.control.get("/_sandbox/deliveries")).json()["data"][0]["error"]
    event = await account.event("customer.created")
    await account.control.post(f"/_sandbox/events/{event.id}/deliver")
    assert (names(receiver), await undelivered(account)) == (["2"], 2)


async def test_deliveries_can_be_delayed(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await account.settings(delay_seconds=[600, 600])
    await account.v1.customers.create_async({"name": "Ada"})
    deliveries = (await account.control.get("/_sandbox/deliveries")).json()
    assert (deliveries["data"], deliveries["under_way"]) == ([], 1)
    await account.control.delete("/_sandbox/deliveries")
    await account.settings(delay_seconds=[0.1, 0.2])
    await account.v1.customers.create_async({"name": "Bob"})
    await account.idle()
    assert names(receiver) == ["Bob"]


async def test_all_events_can_have_the_same_time(account: SandboxAccount, receiver: Receiver) -> None:
    await account.add_endpoint(receiver.url)
    await account.settings(equal_seconds=True)
    clock = await account.clock()
    customer = await account.v1.customers.create_async({"test_clock": clock.id})
    await account.advance(clock, OPENING + DAY)
    await account.v1.customers.update_async(customer.id, {"name": "Ada"})
    await account.idle()
    assert {json.loads(body)["created"] for body, _ in receiver.received} == {OPENING}
    await account.settings(equal_seconds=False)
    await account.v1.customers.update_async(customer.id, {"name": "Bob"})
    assert (await account.event("customer.updated")).created == OPENING + DAY


async def test_retries_continue_for_three_days_of_advanced_time(account: SandboxAccount, receiver: Receiver) -> None:
    await account.settings(retry_schedule="stripe")
    await account.add_endpoint(receiver.url)
    receiver.answers = [500] * 10
    await account.customer(method=None)
    await account.idle()
    assert len(receiver.received) == 1
    assert (await advance(account, HOUR - 60))["data"] == []
    assert [made["attempt"] for made in (await advance(account, 120))["data"]] == [2]
    assert [made["attempt"] for made in (await advance(account, 3 * DAY))["data"]] == [3, 4, 5, 6, 7]
    assert (await waiting(account), await undelivered(account)) == ([], 1)


async def test_an_accepted_retry_is_the_last(account: SandboxAccount, receiver: Receiver) -> None:
    await account.settings(retry_schedule="stripe")
    endpoint = await account.add_endpoint(receiver.url)
    receiver.answers = [500, 500]
    await account.customer(method=None)
    await account.idle()
    [due] = await waiting(account)
    assert (due["endpoint"], due["attempt"], due["test_clock"]) == (endpoint.id, 2, None)
    assert [made["status"] for made in (await advance(account, 3 * DAY))["data"]] == [500, 200]
    assert await undelivered(account) == 0


async def test_retries_of_test_clock_events_follow_the_test_clock(account: SandboxAccount, receiver: Receiver) -> None:
    await account.settings(retry_schedule="stripe")
    clock = await account.clock()
    await account.add_endpoint(receiver.url, "customer.created")
    receiver.answers = [500, 500, 500]
    await account.v1.customers.create_async({"test_clock": clock.id})
    await account.idle()
    assert (await advance(account, DAY))["data"] == [], "the other clock"
    await account.advance(clock, OPENING + 4 * HOUR)
    await account.idle()
    assert (len(receiver.received), (await waiting(account))[0]["due"]) == (3, OPENING + 7 * HOUR)
    await account.advance(clock, OPENING + DAY)
    await account.idle()
    assert (len(receiver.received), await undelivered(account)) == (4, 0)


@pytest.mark.parametrize("seconds", [-1, 0, "soon", None, True, 10**9])
async def test_delivery_time_only_advances(account: SandboxAccount, seconds: object) -> None:
    answer = await account.control.post("/_sandbox/deliveries/wind", json={"seconds": seconds})
    assert answer.status_code == 400
    assert "whole number from 1 to" in answer.json()["error"]["message"]


async def test_both_secrets_sign_during_the_overlap_of_a_roll(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    rolled = await account.control.post(
        f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json={"overlap_seconds": 2 * HOUR}
    )
    new = rolled.json()["secret"]
    await account.customer(method=None)
    await account.idle()
    body, signature = receiver.received[0]
    assert signature.count("v1=") == 2
    assert new != endpoint.secret
    for secret in (endpoint.secret, new):
        assert stripe.Webhook.construct_event(body, signature, secret)
    await advance(account, 3 * HOUR)
    await account.customer(method=None)
    await account.idle()
    body, signature = receiver.received[1]
    assert signature.count("v1=") == 1
    assert stripe.Webhook.construct_event(body, signature, new)


async def test_a_secret_rolled_without_overlap_expires_immediately(account: SandboxAccount, receiver: Receiver) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    await account.control.post(f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json={"overlap_seconds": 0})
    await account.customer(method=None)
    await account.idle()
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(*receiver.received[0], endpoint.secret)


@pytest.mark.parametrize("wanted", [{"overlap_seconds": -1}, {"overlap_seconds": 90000}, {"overlap": 1}])
async def test_an_invalid_roll_is_rejected_and_keeps_the_secret(
    account: SandboxAccount, receiver: Receiver, wanted: dict[str, Any]
) -> None:
    endpoint = await account.add_endpoint(receiver.url)
    answer = await account.control.post(f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json=wanted)
    assert answer.status_code == 400
    await account.customer(method=None)
    await account.idle()
    assert stripe.Webhook.construct_event(*receiver.received[0], endpoint.secret)


@pytest.mark.parametrize(
    "wanted",
    [
        {"order": "reverse"},
        {"duplicates": 1.5},
        {"loss": -0.1},
        {"delay_seconds": [2, 1]},
        {"equal_seconds": "yes"},
        {"retry_schedule": "never"},
        {"seed": 1.5},
        {"rate_limits": {"total": 5}},
        {"rate_limits": {"overall": 0}},
        {"refund_seconds": True},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
async def test_invalid_settings_are_rejected_with_the_valid_values(
    account: SandboxAccount, wanted: dict[str, Any]
) -> None:
    before = (await account.control.get("/_sandbox/settings")).json()
    answer = await account.control.put("/_sandbox/settings", json={"deliver": False, **wanted})
    assert answer.status_code == 400
    assert "It must be" in answer.json()["error"]["message"]
    assert (await account.control.get("/_sandbox/settings")).json() == before


@pytest.mark.parametrize("junk", ["[]", "7", "{", '{"nonsense": 1}', '{"seconds": NaN}', '{"seconds": [1]}'])
@pytest.mark.parametrize(
    "path", ["deliveries/wind", "webhook_endpoints/we_none/roll", "faults", "events/evt_none/deliver"]
)
async def test_malformed_control_requests_are_rejected_with_a_message(
    account: SandboxAccount, path: str, junk: str
) -> None:
    answer = await account.control.post(f"/_sandbox/{path}", content=junk)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"]
