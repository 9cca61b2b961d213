"""Fetching a subscription from the local Stripe through the SDK, beside the same bytes from a static Starlette route."""

import asyncio
import gc
import time
from typing import Any

import stripe
import uvloop

from bench import load
from bench.runner import Bench, Side
from bench.stage import Stage

KEY = "sk_test_bench"
CONNECTIONS = 8


class _Client:
    """Stripe's SDK against a server, as the service uses it."""

    def __init__(self, port: int) -> None:
        self.http = stripe.AIOHTTPClient()
        self.sdk = stripe.StripeClient(
            KEY, base_addresses={"api": f"http://{load.HOST}:{port}"}, http_client=self.http, max_network_retries=0
        )

    async def close(self) -> None:
        await self.http.close_async()  # type: ignore[no-untyped-call]


async def _subscribe(port: int) -> str:
    """Make a subscription with all that belongs to one, and return its id."""
    client = _Client(port)
    v1: Any = client.sdk.v1
    try:
        product = await v1.products.create_async({"name": "Magazine"})
        price = await v1.prices.create_async(
            {"product": product.id, "unit_amount": 4900, "currency": "usd", "recurring": {"interval": "year"}}
        )
        customer = await v1.customers.create_async({"email": "ada@example.com"})
        method = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
        subscription = await v1.subscriptions.create_async(
            {"customer": customer.id, "items": [{"price": price.id}], "default_payment_method": method.id}
        )
        return str(subscription.id)
    finally:
        await client.close()


async def _fetch(port: int, subscription: str, seconds: float) -> load.Run:
    client = _Client(port)
    late: list[float] = []
    started = time.perf_counter()
    worked = time.thread_time()

    async def again_and_again() -> None:
        while (asked := time.perf_counter()) < started + seconds:
            found = await client.sdk.v1.subscriptions.retrieve_async(subscription)
            if found.id != subscription:
                raise load.BadAnswer(f"{found.id} came for {subscription}")
            late.append(time.perf_counter() - asked)

    try:
        await asyncio.gather(*(again_and_again() for _ in range(CONNECTIONS)))
    finally:
        await client.close()
    took = time.perf_counter() - started
    late.sort()
    return load.Run(len(late) / took, late[int(len(late) * 0.99)], (time.thread_time() - worked) / took)


def _raw(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {load.HOST}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


def _sides(stage: Stage) -> tuple[Side, Side]:
    checked, unchecked = stage.sandbox(), stage.sandbox("--no-validate")
    ids = {port: asyncio.run(_subscribe(port)) for port in (checked, unchecked)}
    _say_what_validation_costs(stage, checked, unchecked, ids)
    body = load.once(checked, _raw(f"/v1/subscriptions/{ids[checked]}")).decode()
    static = stage.peer("static_stripe", BENCH_BODY=body)

    def side(port: int) -> Side:
        def run(seconds: float) -> load.Run:
            gc.collect()
            with stage.on_the_loads_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_fetch(port, ids[checked], seconds))

        return run

    return side(checked), side(static)


def _say_what_validation_costs(stage: Stage, checked: int, unchecked: int, ids: dict[int, str]) -> None:
    """The SDK hides it, being slower itself: so it is measured past the SDK, one request at a time."""
    each: dict[int, float] = {}
    for port in (checked, unchecked, checked, unchecked):
        asked = [_raw(f"/v1/subscriptions/{ids[port]}")] * 300
        with stage.on_the_loads_core():
            rate = load.run(port, asked, 1.0, connections=1).rate
        each[port] = min(1000 / rate, each.get(port, float("inf")))
    stage.say(
        f"A fetch from the sandbox, past the SDK: {each[checked]:.2f} ms; {each[unchecked]:.2f} ms without validation,"
        f" which costs {each[checked] - each[unchecked]:.2f} ms"
    )


BENCHES = (
    Bench(
        name="sandbox_fetch_vs_static",
        unit="fetches/s",
        what="a subscription from the sandbox through the SDK, checked, beside the same bytes from a static route",
        sides=_sides,
    ),
)
