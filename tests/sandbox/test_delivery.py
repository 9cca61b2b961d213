"""What the network does to webhooks: doubled, lost, late, in any order, tried again for three days; secrets rolled."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
import stripe

from tests.sandbox.shop import DAY, HOUR, OPENING, Receiver, Shop


def names(receiver: Receiver) -> list[str]:
    return [json.loads(body)["data"]["object"]["name"] for body, _ in receiver.received]


def client_of(url: str, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"})


async def tell(shop: Shop, receiver: Receiver, count: int, **settings: Any) -> list[str]:
    """Make customers, each named by its number, while deliveries are held; return the names as they arrived."""
    receiver.received.clear()
    await shop.settings(deliver=False, **settings)
    for number in range(count):
        await shop.v1.customers.create_async({"name": str(number)})
    await shop.settings(deliver=True)
    await shop.idle()
    return names(receiver)


async def wind(shop: Shop, seconds: object) -> dict[str, Any]:
    answer = await shop.control.post("/_sandbox/deliveries/wind", json={"seconds": seconds})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def waiting(shop: Shop) -> list[dict[str, Any]]:
    return list((await shop.control.get("/_sandbox/deliveries")).json()["waiting"])


async def undelivered(shop: Shop) -> int:
    return len((await shop.v1.events.list_async({"delivery_success": False, "limit": 100})).data)


async def test_any_order_is_a_shuffle_that_its_seed_gives_again(shop: Shop, receiver: Receiver) -> None:
    endpoint = await shop.listen(receiver.url)
    arrived = await tell(shop, receiver, 12, order="any", seed=7)
    assert arrived != sorted(arrived, key=int)
    assert sorted(arrived, key=int) == [str(number) for number in range(12)]
    for body, signature in receiver.received:
        assert stripe.Webhook.construct_event(body, signature, endpoint.secret)


async def test_the_same_seed_makes_the_same_of_the_same_events(sandbox_url: str, receiver: Receiver) -> None:
    async def run(key: str, seed: int) -> list[str]:
        http = stripe.AIOHTTPClient()
        client = stripe.StripeClient(key, base_addresses={"api": sandbox_url}, http_client=http)
        async with client_of(sandbox_url, key) as control, client_of(sandbox_url, key) as browser:
            shop = Shop(url=sandbox_url, key=key, client=client, control=control, browser=browser)
            await shop.listen(receiver.url, "customer.created")
            arrived = await tell(shop, receiver, 20, order="any", seed=seed, loss=0.3, duplicates=0.3)
            await shop.settings(deliver=False)
        await http.close_async()  # type: ignore[no-untyped-call]
        return arrived

    first, again, other = [await run(f"sk_test_seed{n}", seed) for n, seed in enumerate((3, 3, 4))]
    assert first == again
    assert first != other
    assert len(set(first)) < 20, "some are lost"
    assert len(set(first)) < len(first), "some are doubled"


async def test_every_delivery_can_be_doubled(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    assert sorted(await tell(shop, receiver, 3, duplicates=1)) == ["0", "0", "1", "1", "2", "2"]
    assert await undelivered(shop) == 0


async def test_what_is_lost_is_never_tried_again_and_is_found_by_listing(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    assert await tell(shop, receiver, 3, loss=1) == []
    assert await undelivered(shop) == 3
    assert "Lost" in (await shop.control.get("/_sandbox/deliveries")).json()["data"][0]["error"]
    event = await shop.event("customer.created")
    await shop.control.post(f"/_sandbox/events/{event.id}/deliver")
    assert (names(receiver), await undelivered(shop)) == (["2"], 2)


async def test_deliveries_can_be_late(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await shop.settings(delay_seconds=[0.3, 0.4])
    await shop.v1.customers.create_async({"name": "Ada"})
    await asyncio.sleep(0.1)
    assert receiver.received == []
    await shop.idle()
    assert names(receiver) == ["Ada"]


async def test_all_events_can_be_of_one_second(shop: Shop, receiver: Receiver) -> None:
    await shop.listen(receiver.url)
    await shop.settings(equal_seconds=True)
    clock = await shop.clock()
    customer = await shop.v1.customers.create_async({"test_clock": clock.id})
    await shop.wind(clock, OPENING + DAY)
    await shop.v1.customers.update_async(customer.id, {"name": "Ada"})
    await shop.idle()
    assert {json.loads(body)["created"] for body, _ in receiver.received} == {OPENING}
    await shop.settings(equal_seconds=False)
    await shop.v1.customers.update_async(customer.id, {"name": "Bob"})
    assert (await shop.event("customer.updated")).created == OPENING + DAY


async def test_retries_go_on_for_three_days_of_a_clock_that_is_wound(shop: Shop, receiver: Receiver) -> None:
    await shop.settings(retry_schedule="stripe")
    await shop.listen(receiver.url)
    receiver.answers = [500] * 10
    await shop.customer(method=None)
    await shop.idle()
    assert len(receiver.received) == 1
    assert (await wind(shop, HOUR - 60))["data"] == []
    assert [made["attempt"] for made in (await wind(shop, 120))["data"]] == [2]
    assert [made["attempt"] for made in (await wind(shop, 3 * DAY))["data"]] == [3, 4, 5, 6, 7]
    assert (await waiting(shop), await undelivered(shop)) == ([], 1)


async def test_a_retry_that_is_accepted_is_the_last(shop: Shop, receiver: Receiver) -> None:
    await shop.settings(retry_schedule="stripe")
    endpoint = await shop.listen(receiver.url)
    receiver.answers = [500, 500]
    await shop.customer(method=None)
    await shop.idle()
    [due] = await waiting(shop)
    assert (due["endpoint"], due["attempt"], due["test_clock"]) == (endpoint.id, 2, None)
    assert [made["status"] for made in (await wind(shop, 3 * DAY))["data"]] == [500, 200]
    assert await undelivered(shop) == 0


async def test_what_happened_on_a_test_clock_is_tried_again_when_that_clock_is_advanced(
    shop: Shop, receiver: Receiver
) -> None:
    await shop.settings(retry_schedule="stripe")
    clock = await shop.clock()
    await shop.listen(receiver.url, "customer.created")
    receiver.answers = [500, 500, 500]
    await shop.v1.customers.create_async({"test_clock": clock.id})
    await shop.idle()
    assert (await wind(shop, DAY))["data"] == [], "the other clock"
    await shop.wind(clock, OPENING + 4 * HOUR)
    await shop.idle()
    assert (len(receiver.received), (await waiting(shop))[0]["due"]) == (3, OPENING + 7 * HOUR)
    await shop.wind(clock, OPENING + DAY)
    await shop.idle()
    assert (len(receiver.received), await undelivered(shop)) == (4, 0)


@pytest.mark.parametrize("seconds", [-1, 0, "soon", None, True, 10**9])
async def test_deliveries_are_wound_forward_only(shop: Shop, seconds: object) -> None:
    answer = await shop.control.post("/_sandbox/deliveries/wind", json={"seconds": seconds})
    assert answer.status_code == 400
    assert "wound forward" in answer.json()["error"]["message"]


async def test_while_a_secret_is_rolled_both_sign_and_later_the_new_one_alone(shop: Shop, receiver: Receiver) -> None:
    endpoint = await shop.listen(receiver.url)
    rolled = await shop.control.post(
        f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json={"overlap_seconds": 2 * HOUR}
    )
    new = rolled.json()["secret"]
    await shop.customer(method=None)
    await shop.idle()
    body, signature = receiver.received[0]
    assert signature.count("v1=") == 2
    assert new != endpoint.secret
    for secret in (endpoint.secret, new):
        assert stripe.Webhook.construct_event(body, signature, secret)
    await wind(shop, 3 * HOUR)
    await shop.customer(method=None)
    await shop.idle()
    body, signature = receiver.received[1]
    assert signature.count("v1=") == 1
    assert stripe.Webhook.construct_event(body, signature, new)


async def test_a_secret_rolled_without_overlap_is_void_at_once(shop: Shop, receiver: Receiver) -> None:
    endpoint = await shop.listen(receiver.url)
    await shop.control.post(f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json={"overlap_seconds": 0})
    await shop.customer(method=None)
    await shop.idle()
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(*receiver.received[0], endpoint.secret)


@pytest.mark.parametrize("wanted", [{"overlap_seconds": -1}, {"overlap_seconds": 90000}, {"overlap": 1}])
async def test_a_roll_that_makes_no_sense_is_refused_and_the_secret_stays(
    shop: Shop, receiver: Receiver, wanted: dict[str, Any]
) -> None:
    endpoint = await shop.listen(receiver.url)
    answer = await shop.control.post(f"/_sandbox/webhook_endpoints/{endpoint.id}/roll", json=wanted)
    assert answer.status_code == 400
    await shop.customer(method=None)
    await shop.idle()
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
        {"refund_seconds": True},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
async def test_a_setting_that_makes_no_sense_is_refused_with_what_it_takes(shop: Shop, wanted: dict[str, Any]) -> None:
    before = (await shop.control.get("/_sandbox/settings")).json()
    answer = await shop.control.put("/_sandbox/settings", json={"deliver": False, **wanted})
    assert answer.status_code == 400
    assert "It is" in answer.json()["error"]["message"]
    assert (await shop.control.get("/_sandbox/settings")).json() == before


@pytest.mark.parametrize("junk", ["[]", "7", "{", '{"nonsense": 1}', '{"seconds": NaN}', '{"seconds": [1]}'])
@pytest.mark.parametrize(
    "path", ["deliveries/wind", "webhook_endpoints/we_none/roll", "faults", "events/evt_none/deliver"]
)
async def test_junk_is_refused_in_words_and_nothing_falls_over(shop: Shop, path: str, junk: str) -> None:
    answer = await shop.control.post(f"/_sandbox/{path}", content=junk)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"]
