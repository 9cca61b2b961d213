"""
A Stripe that answers at once: the same bytes for every subscription but for the ids, from a bare HTTP server.

``python -m bench.standin --port 4299 --template template.json``. The template holds what the local Stripe answered about a
real subscription; its ids end in a number of eight digits, which is taken from the address of each request.
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

from bench import load
from bench.stage import Stage

NUMBER = "00000000"
KEY = "sk_test_bench_template"
_TARGET = re.compile(rb"[A-Z]+ /v1/([a-z_]+)[^ ]*?(\d{8})(?:[^ \d][^ ]*)? HTTP/1\.1\r\n")
_ID = re.compile(r"\b(sub|cus|in|pi|inpay|si|il|ch|pm|price)_(?!newsstand)[A-Za-z0-9]{8,}\b")


def of_number(text: str, number: int) -> str:
    """Return a text of the template with the ids of a subscription."""
    return text.replace(NUMBER, f"{number:08d}")


@functools.cache
def template(stage: Stage) -> dict[str, str]:
    """Return what the local Stripe answers about a subscription with print, its ids made plain."""
    port = stage.sandbox()
    subscription = asyncio.run(_subscribe(port))
    paths = {
        "subscriptions": f"/v1/subscriptions/{subscription}",
        "invoices": f"/v1/invoices?subscription={subscription}&expand[0]=data.payments&limit=100",
    }
    known: dict[str, str] = {}

    def plain(found: re.Match[str]) -> str:
        return known.setdefault(found[0], f"{found[1]}_{len(known)}n{NUMBER}")

    _ID.sub(plain, subscription)  # the first: of which the bare side makes its own
    return {kind: _ID.sub(plain, load.once(port, _get(path)).decode()) for kind, path in paths.items()}


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {load.HOST}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


async def _subscribe(port: int) -> str:
    """Buy the annual plan with print, under the ids that the catalogue gives its products."""
    http = stripe.AIOHTTPClient()
    v1: Any = stripe.StripeClient(KEY, base_addresses={"api": f"http://{load.HOST}:{port}"}, http_client=http).v1
    try:
        items = []
        for component, amount in (("digital", 4900), ("print", 2400)):
            made = await v1.products.create_async({"id": f"newsstand_annual_{component}", "name": component})
            price = {"product": made.id, "unit_amount": amount, "currency": "usd", "recurring": {"interval": "year"}}
            items.append({"price": (await v1.prices.create_async(price)).id})
        customer = await v1.customers.create_async({"email": "ada@example.com", "name": "Ada Invented"})
        method = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
        bought = await v1.subscriptions.create_async(
            {"customer": customer.id, "items": items, "default_payment_method": method.id}
        )
        return str(bought.id)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


class _Answer:
    """One kind of answer, cut where the number stands."""

    def __init__(self, body: str) -> None:
        self._parts = body.encode().split(NUMBER.encode())
        self._head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
            body.encode()
        )

    def of(self, number: bytes) -> bytes:
        return self._head + number.join(self._parts)


class _Server(asyncio.Protocol):
    """Answers each request when it is whole. None has a body that matters."""

    def __init__(self, answers: dict[bytes, _Answer]) -> None:
        self._answers, self._so_far = answers, b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._so_far += data
        while (end := self._so_far.find(b"\r\n\r\n")) >= 0:
            head, self._so_far = self._so_far[: end + 2], self._so_far[end + 4 :]
            asked = _TARGET.match(head)
            answer = self._answers.get(asked[1]) if asked else None
            if asked is None or answer is None:
                self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
            else:
                self._transport.write(answer.of(asked[2]))


async def _serve(port: int, answers: dict[bytes, _Answer]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Server(answers), load.HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--template", type=Path, required=True)
    chosen = options.parse_args()
    bodies = json.loads(chosen.template.read_text())
    uvloop.run(_serve(chosen.port, {kind.encode(): _Answer(body) for kind, body in bodies.items()}))
