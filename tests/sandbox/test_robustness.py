"""Random valid requests never crash the sandbox or produce invalid responses."""

import importlib
import random
from collections.abc import Mapping
from typing import Any, Literal, NotRequired, Required, get_args, get_origin

import httpx2
import pytest
from typing_extensions import get_type_hints, is_typeddict

from sandbox.app import build
from sandbox.contract.routes import all_routes
from sandbox.http.routing import ROUTES

_NAMES = {"StripeContext": object, "Mapping": Mapping}
_NUMBERS = ["0", "1", "-1", "100", "4900", "1790000000", "9223372036854775807"]
_TEXTS = ["", "abc", "usd", "é☃", "1.5", "99999999999", "pm_card_visa"]
_REQUESTS = 400


class Sender:
    """Generates random requests from the SDK's types and the IDs seen so far."""

    def __init__(self, client: httpx2.AsyncClient, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)
        self.ids: list[str] = []

    async def make(self, path: str, **params: str) -> dict[str, Any]:
        """Create an object for the requests to use."""
        made: dict[str, Any] = (await self.client.post(f"/v1/{path}", data=params)).raise_for_status().json()
        self.ids.append(made["id"])
        return made

    async def send(self) -> httpx2.Response:
        """Send one random request."""
        method, path = self.chance.choice([route for route in sorted(ROUTES) if route[0] != "DELETE"])
        params: dict[str, str] = {}
        declared = all_routes()[method, path].params
        if declared:
            cls = getattr(importlib.import_module(declared[0]), declared[1])
            for name, hint in get_type_hints(cls, localns=_NAMES, include_extras=True).items():
                wanted = name in cls.__required_keys__ or self.chance.random() < 0.35
                if name in ROUTES[method, path].takes - {"expand"} and wanted:
                    self._fill(params, name, hint)
        url = "/".join(self.chance.choice(self.ids) if part.startswith("{") else part for part in path.split("/"))
        sent = {"data": params} if method == "POST" else {"params": params}
        answer = await self.client.request(method, url, **sent)  # type: ignore[arg-type]
        if answer.status_code == 200 and method == "POST":
            self.ids.append(answer.json()["id"])
        return answer

    def _fill(self, params: dict[str, str], name: str, hint: Any) -> None:
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (NotRequired, Required, list):
            self._fill(params, f"{name}[0]" if origin is list else name, inner[0])
        elif origin is dict:
            params[f"{name}[key]"] = "value"
        elif origin is Literal:
            params[name] = self.chance.choice(inner)
        elif is_typeddict(hint):
            for key, type_ in get_type_hints(hint, localns=_NAMES, include_extras=True).items():
                if key in hint.__required_keys__ or self.chance.random() < 0.3:
                    self._fill(params, f"{name}[{key}]", type_)
        elif inner:
            self._fill(params, name, self.chance.choice([one for one in inner if "Untyped" not in str(one)]))
        elif hint in (int, bool):
            params[name] = self.chance.choice(_NUMBERS if hint is int else ["true", "false"])
        else:
            params[name] = self.chance.choice([*_TEXTS, *self.chance.sample(self.ids, 5)])


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_request_crashes_the_sandbox(seed: int) -> None:
    app = build()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox", auth=("sk_test_x", "")) as client:
        sender = Sender(client, seed)
        product = await sender.make("products", name="Magazine")
        yearly = {"product": product["id"], "currency": "usd", "unit_amount": "4900", "recurring[interval]": "year"}
        price = await sender.make("prices", **yearly)
        customer = await sender.make("customers")
        method = await sender.make("payment_methods/pm_card_visa/attach", customer=customer["id"])
        bought = {"customer": customer["id"], "default_payment_method": method["id"], "items[0][price]": price["id"]}
        subscription = await sender.make("subscriptions", **bought)
        sender.ids += [subscription["latest_invoice"], subscription["items"]["data"][0]["id"]]
        for _ in range(_REQUESTS):
            answer = await sender.send()
            assert answer.status_code in (200, 400, 402, 404, 501), answer.text
    assert app.state.runtime.violations == []
