"""Fetching a subscription from the local Stripe with the SDK, against a static route with the same bytes."""

import asyncio
import gc
import time
from typing import Any

import stripe
import uvloop

from bench import load_generator
from bench.environment import Environment
from bench.runner import Benchmark, Side

API_KEY = "sk_test_bench"
CONNECTIONS = 8


class _Client:
    """Stripe's SDK, configured as in the service."""

    def __init__(self, port: int) -> None:
        self.http = stripe.AIOHTTPClient()
        self.sdk = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": f"http://{load_generator.HOST}:{port}"},
            http_client=self.http,
            max_network_retries=0,
        )

    async def close(self) -> None:
        await self.http.close_async()  # type: ignore[no-untyped-call]


async def _subscribe(port: int) -> str:
    """Create a subscription, and return its ID."""
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


async def _fetch(port: int, subscription: str, seconds: float) -> load_generator.Run:
    client = _Client(port)
    latencies: list[float] = []
    started_at = time.perf_counter()
    cpu_started_at = time.thread_time()

    async def fetch_repeatedly() -> None:
        while (sent_at := time.perf_counter()) < started_at + seconds:
            found = await client.sdk.v1.subscriptions.retrieve_async(subscription)
            if found.id != subscription:
                raise load_generator.BadResponse(f"expected {subscription}, got {found.id}")
            latencies.append(time.perf_counter() - sent_at)

    try:
        await asyncio.gather(*(fetch_repeatedly() for _ in range(CONNECTIONS)))
    finally:
        await client.close()
    elapsed = time.perf_counter() - started_at
    latencies.sort()
    cpu_time = time.thread_time() - cpu_started_at
    return load_generator.Run(len(latencies) / elapsed, latencies[int(len(latencies) * 0.99)], cpu_time / elapsed)


def _get_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {load_generator.HOST}\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode()


def _sides(environment: Environment) -> tuple[Side, Side]:
    validating, not_validating = environment.sandbox(), environment.sandbox("--no-validate")
    ids = {port: asyncio.run(_subscribe(port)) for port in (validating, not_validating)}
    _report_cost_of_validation(environment, validating, not_validating, ids)
    body = load_generator.send(validating, _get_request(f"/v1/subscriptions/{ids[validating]}")).decode()
    static = environment.baseline("static_stripe", BENCH_BODY=body)

    def side(port: int) -> Side:
        def run(seconds: float) -> load_generator.Run:
            gc.collect()
            with environment.on_load_core(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_fetch(port, ids[validating], seconds))

        return run

    return side(validating), side(static)


def _report_cost_of_validation(
    environment: Environment, validating: int, not_validating: int, ids: dict[int, str]
) -> None:
    """Measure and report the cost of request validation without the SDK, which is slower and would hide it."""
    milliseconds: dict[int, float] = {}
    for port in (validating, not_validating, validating, not_validating):
        requests = [_get_request(f"/v1/subscriptions/{ids[port]}")] * 300
        with environment.on_load_core():
            rate = load_generator.run(port, requests, 1.0, connections=1).rate
        milliseconds[port] = min(1000 / rate, milliseconds.get(port, float("inf")))
    environment.report(
        f"A fetch from the sandbox without the SDK takes {milliseconds[validating]:.2f} ms, of which validation takes "
        f"{milliseconds[validating] - milliseconds[not_validating]:.2f} ms"
    )


BENCHMARKS = (
    Benchmark(
        name="sandbox_fetch_vs_static",
        unit="fetches/s",
        description="fetch a subscription from the local Stripe with the SDK, against a static route",
        sides=_sides,
    ),
)
