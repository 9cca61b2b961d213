"""
Hostile clients on this machine: slow connections, and requests that are made to cost the service time.

``python -m bench.attackers`` starts the service, lets each kind of attacker work for a few seconds, and prints how long
another client's entitlement checks took meanwhile. It sends to 127.0.0.1 only, and every run is bounded in time and number.
With ``--port``, it only attacks the service there, for the benchmark ``check_p99_under_attack``.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext

from bench.load_generator import HOST

MAX_SECONDS = 600.0
SLOW_CONNECTIONS = 200
RATE = 50.0  # hostile requests per second
REPEATS = 100  # requests of a kind, to measure the cost of one
CONNECTIONS = 4  # of the other client
DRIP = 1.0  # seconds between two bytes of a slow connection
HOOK = "/webhooks/stripe"
KB = 1024


def _head(method: str, path: str, *headers: str, length: int | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _post(path: str, body: bytes, *headers: str) -> bytes:
    return _head("POST", path, "Content-Type: application/json", *headers, length=len(body)) + body


def _api_key() -> str:
    return f"Authorization: Bearer nsk_{random.getrandbits(172):043x}"


ATTACKS: dict[str, Callable[[], bytes]] = {
    "long header": lambda: _head("GET", "/", "X: " + "a" * 250 * KB),
    "many headers": lambda: _head("GET", "/", *["a: b"] * 50_000),
    "headers below 32 KB": lambda: _head("GET", "/", *["a: b"] * 5_000),
    "long URL": lambda: _head("GET", "/" + "a" * 100 * KB),
    "many fields": lambda: _post(
        "/v1/entitlements/check", json.dumps({f"{n}": n for n in range(5_000)}).encode(), _api_key()
    ),
    "nested JSON": lambda: _post("/v1/checkout-sessions", b"[" * 60 * KB),
    "large body": lambda: _post("/v1/checkout-sessions", b" " * 900 * KB),
    "unsigned webhook": lambda: _post(HOOK, b" " * 900 * KB, f"Stripe-Signature: t={int(time.time())},v1=" + "0" * 64),
    "wrong API key": lambda: _post("/v1/entitlements/check", b'{"subscriber":"a","feature":"archive"}', _api_key()),
    "forged token": lambda: _head(
        "GET",
        "/v1/gate?feature=archive",
        "Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.e30." + "a" * 7_000,  # pragma: allowlist secret
    ),
    "made-up path": lambda: _post(f"/console/{random.getrandbits(200):x}" + "a" * 6_000, b"a=b"),
    "many cookies": lambda: _head("GET", "/v1/gate?feature=archive", "Cookie: " + "a=b; " * 6_000),
}
SLOW: dict[str, bytes] = {
    "dripping headers": _head("GET", "/", "X: a")[:-2],
    "dripping body": _head("POST", "/v1/checkout-sessions", length=1_000),
    "dripping webhook": _head("POST", HOOK, length=900_000) + b"a" * 30_000,
    "silent": b"",
}


class Attackers:
    """Hostile clients of a service."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.open = 0  # slow connections
        self.statuses: Counter[str] = Counter()

    async def drip(self, first: bytes) -> None:
        """Keep a connection open that sends a byte from time to time, and open another whenever it is closed."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
                writer.write(first)
                self.open += 1
                try:
                    while not reader.at_eof() and not writer.is_closing():
                        await asyncio.sleep(DRIP)
                        if first:
                            writer.write(b"a")
                            await writer.drain()
                finally:
                    self.open -= 1
                    writer.close()
            except OSError:
                await asyncio.sleep(DRIP)

    async def ask(self, request: bytes) -> None:
        """Send a request on a connection of its own, and count the status of the response."""
        status = "closed"
        try:
            reader, writer = await asyncio.open_connection(HOST, self._port)
            try:
                writer.write(request)
                line = await asyncio.wait_for(reader.readline(), 10)
                status = line[9:12].decode() or status
            finally:
                writer.close()
        except (OSError, TimeoutError):
            pass
        self.statuses[status] += 1

    async def ask_one_by_one(self, make: Callable[[], bytes], number: int) -> None:
        """Send hostile requests one after the other."""
        for _ in range(number):
            await self.ask(make())

    async def run(
        self, seconds: float, *, slow: Iterator[bytes], slow_connections: int, requests: Iterator[bytes], rate: float
    ) -> None:
        """Attack for a number of seconds. A line on standard output says when all slow connections are open."""
        dripping = [asyncio.create_task(self.drip(next(slow))) for _ in range(slow_connections)]
        while self.open < slow_connections:
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        started, asking = time.monotonic(), set[asyncio.Task[None]]()
        for number in itertools.count():
            due = started + number / rate
            if due > started + min(seconds, MAX_SECONDS):
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.ask(next(requests)))
            asking.add(task)
            task.add_done_callback(asking.discard)
        for task in (*asking, *dripping):
            task.cancel()
        await asyncio.gather(*asking, *dripping, return_exceptions=True)


def all_attacks() -> Iterator[bytes]:
    """Yield hostile requests of every kind in turn. They are made once, so that the attacker needs little time itself."""
    return itertools.cycle([make() for _ in range(10) for make in ATTACKS.values()])


def _measure_each(seconds: float) -> None:
    """Print what each kind of attack costs the service, and how long the checks of another client took meanwhile."""
    from bench import load_generator  # imported here, because the attackers of the benchmark must start quickly
    from bench.environment import Environment

    with Environment(lambda text: print(text, file=sys.stderr), readers=1_000) as environment:
        port, key = environment.service(), environment.api_key()
        check = load_generator.post_request(
            "/v1/entitlements/check", b'{"subscriber":"a","feature":"archive"}', {"Authorization": f"Bearer {key}"}
        )
        print(f"{'':18} {'CPU ms of one':>14} {'p99 ms':>8} {'longest ms':>11} {'checks/s':>9}  responses")
        for name in ("quiet", *ATTACKS, *SLOW):
            cost, statuses = "", Counter[str]()
            if name in ATTACKS:
                attackers, before = Attackers(port), environment.cpu_time(port)
                asyncio.run(attackers.ask_one_by_one(ATTACKS[name], REPEATS))
                cost = f"{(environment.cpu_time(port) - before) / REPEATS * 1000:.2f}"
                statuses = attackers.statuses
            with environment.attackers(port, seconds, kind=name) if name != "quiet" else nullcontext():
                run = environment.run(port, itertools.repeat(check), seconds, connections=CONNECTIONS)
            shown = " ".join(f"{status}x{count}" for status, count in statuses.items())
            print(
                f"{name:18} {cost:>14} {run.p99 * 1000:8.1f} {run.longest * 1000:11.1f} {run.rate:9,.0f}  {shown}",
                flush=True,
            )


def main() -> int:
    """Attack the service at a port, or measure each kind of attack. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.attackers", description=__doc__)
    parser.add_argument("--port", type=int, help="attack the service at this port of 127.0.0.1, and measure nothing")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run (default: 3)")
    parser.add_argument("--kind", choices=[*ATTACKS, *SLOW], help="one kind of attack (default: all)")
    options = parser.parse_args()
    if options.port is None:
        _measure_each(options.seconds)
        return 0
    slow = [SLOW[options.kind]] if options.kind in SLOW else list(SLOW.values())
    requests = itertools.repeat(ATTACKS[options.kind]()) if options.kind in ATTACKS else all_attacks()
    attackers = Attackers(options.port)
    asyncio.run(
        attackers.run(
            options.seconds,
            slow=itertools.cycle(slow),
            slow_connections=0 if options.kind in ATTACKS else SLOW_CONNECTIONS,
            requests=requests,
            rate=0.001 if options.kind in SLOW else RATE,
        )
    )
    print(json.dumps(attackers.statuses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
