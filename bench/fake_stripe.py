"""
A fake Stripe that responds immediately, with the same bytes for every subscription except the IDs.

``python -m bench.fake_stripe --port 4299 --template template.json``. The template holds the local Stripe's responses for
one subscription. Its IDs contain an eight-digit number, which is replaced by the number in the path of each request.
"""

import argparse
import asyncio
import functools
import json
import re
from pathlib import Path
from typing import Any

import stripe
import uvloop

from bench import load_generator
from bench.environment import Environment

PLACEHOLDER = "00000000"  # the number in the template's IDs
API_KEY = "sk_test_bench_template"
_REQUEST_LINE = re.compile(rb"[A-Z]+ /v1/([a-z_]+)[^ ]*?(\d{8})(?:[^ \d][^ ]*)? HTTP/1\.1\r\n")
_ID = re.compile(r"\b(sub|cus|in|pi|inpay|si|il|ch|pm|price)_(?!newsstand)[A-Za-z0-9]{8,}\b")


def with_number(text: str, number: int) -> str:
    """Return a text of the template with the IDs of the subscription with this number."""
    return text.replace(PLACEHOLDER, f"{number:08d}")


@functools.cache
def response_template(environment: Environment) -> dict[str, str]:
    """Return the local Stripe's responses for a subscription with print, with IDs that contain the placeholder."""
    port = environment.sandbox()
    subscription = asyncio.run(_subscribe(port))
    paths = {
        "subscriptions": f"/v1/subscriptions/{subscription}",
        "invoices": f"/v1/invoices?subscription={subscription}&expand[0]=data.payments&limit=100",
    }
    replaced: dict[str, str] = {}

    def placeholder_id(found: re.Match[str]) -> str:
        return replaced.setdefault(found[0], f"{found[1]}_{len(replaced)}n{PLACEHOLDER}")

    _ID.sub(placeholder_id, subscription)  # first, so that the baseline knows its ID: sub_0n00000000
    return {
        kind: _ID.sub(placeholder_id, load_generator.send(port, _get_request(path)).decode())
        for kind, path in paths.items()
    }


def _get_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {load_generator.HOST}\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode()


async def _subscribe(port: int) -> str:
    """Create a subscription to the annual plan with print, with the product IDs that the catalogue uses."""
    http = stripe.AIOHTTPClient()
    v1: Any = stripe.StripeClient(
        API_KEY, base_addresses={"api": f"http://{load_generator.HOST}:{port}"}, http_client=http
    ).v1
    try:
        items = []
        for component, amount in (("digital", 4900), ("print", 2400)):
            product = await v1.products.create_async({"id": f"newsstand_annual_{component}", "name": component})
            price = {"product": product.id, "unit_amount": amount, "currency": "usd", "recurring": {"interval": "year"}}
            items.append({"price": (await v1.prices.create_async(price)).id})
        customer = await v1.customers.create_async({"email": "ada@example.com", "name": "Ada Invented"})
        method = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
        subscription = await v1.subscriptions.create_async(
            {"customer": customer.id, "items": items, "default_payment_method": method.id}
        )
        return str(subscription.id)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


class _Response:
    """A response, split at the placeholder."""

    def __init__(self, body: str) -> None:
        self._parts = body.encode().split(PLACEHOLDER.encode())
        self._head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            body.encode()
        )

    def with_number(self, number: bytes) -> bytes:
        return self._head + number.join(self._parts)


class _Server(asyncio.Protocol):
    """Responds to each complete request head. Request bodies are not expected."""

    def __init__(self, responses: dict[bytes, _Response]) -> None:
        self._responses, self._buffer = responses, b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[: end + 2], self._buffer[end + 4 :]
            request_line = _REQUEST_LINE.match(head)
            response = self._responses.get(request_line[1]) if request_line else None
            if request_line is None or response is None:
                self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
            else:
                self._transport.write(response.with_number(request_line[2]))


async def _serve(port: int, responses: dict[bytes, _Response]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Server(responses), load_generator.HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.fake_stripe", description="A fake Stripe.")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--template", type=Path, required=True, help="JSON file with the responses")
    arguments = parser.parse_args()
    bodies = json.loads(arguments.template.read_text())
    uvloop.run(_serve(arguments.port, {kind.encode(): _Response(body) for kind, body in bodies.items()}))
