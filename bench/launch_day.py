"""
A launch and a renewal day, at the full rate for a twentieth of the size or less: ``python -m bench.launch_day``.

A launch is 50,000 checkouts in an hour: each reader opens a checkout, pays on the local Stripe's page, and the webhooks are
applied. A renewal day is 200,000 renewals in 24 hours. Meanwhile other readers are checked. The local Stripe applies
Stripe's rate limits. One API process and one worker serve all of it, on one core.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from bench import access_tokens
from bench.environment import LOAD_CORE, ROOT, Environment, free_port
from bench.load_generator import HOST

LAUNCH, LAUNCH_SECONDS = 50_000, 3600
RENEWALS, DAY_SECONDS = 200_000, 86_400
SHARE = 20  # a twentieth of the size at most
CHECKS_PER_SECOND, READERS = 20, 50
YEAR = 366 * 86_400
SECRET, STRIPE_KEY = "whsec_bench_public", "sk_test_bench_launch"
PUBLISHER = {"Authorization": aiohttp.encode_basic_auth(STRIPE_KEY, "")}
FORM = {"card_number": "4242424242424242", "card_expiry": "12 / 34", "card_cvc": "123", "card_name": "Ada Invented"}
DRAIN_SECONDS = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Shop:
    """The running service, and the clients that use it."""

    url: str
    stripe: str
    issuer: str
    api_key: str
    dsn: str
    pids: Mapping[str, int]
    http: aiohttp.ClientSession
    as_publisher: aiohttp.ClientSession  # with the account's key

    async def post(self, path: str, **fields: str) -> dict[str, Any]:
        """Send a POST request to the local Stripe."""
        async with self.as_publisher.post(f"{self.stripe}{path}", data=fields) as answer:
            body: dict[str, Any] = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {body}")
            return body


@dataclass
class Measured:
    """What happened in a phase."""

    checks: list[float] = field(default_factory=list)  # seconds
    failed: Counter[str] = field(default_factory=Counter)
    done: int = 0
    oldest: float = 0.0  # seconds: the greatest age of an unapplied event
    drained: float = 0.0  # seconds from the end of the load until no event waited
    cpu: dict[str, float] = field(default_factory=dict)  # seconds, by process
    calls: Counter[str] = field(default_factory=Counter)  # to Stripe, by endpoint
    seconds: float = 0.0

    def line(self, name: str) -> str:
        """Return the figures as text."""
        ordered = sorted(self.checks) or [float("nan")]
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        each = max(self.done, 1)
        busy = ", ".join(f"{process} {seconds / each * 1000:.0f} ms" for process, seconds in self.cpu.items())
        most = ", ".join(f"{of} {count / each:.2f}" for of, count in self.calls.most_common(5))
        return (
            f"{name:9} {self.done:,} in {self.seconds:.0f} s ({self.done / self.seconds:.1f}/s); checks p50 {p50:.0f} ms, "
            f"p99 {p99:.0f} ms of {len(self.checks):,}; oldest event {self.oldest:.1f} s, all applied {self.drained:.1f} s "
            f"after the end; failed {dict(self.failed) or 'none'}\n"
            f"{'':9} of each: CPU time {busy}; calls to Stripe {sum(self.calls.values()) / each:.1f} ({most})"
        )


async def measure(
    shop: Shop, readers: list[str], one: Callable[[int], Awaitable[None]], *, rate: float, count: int
) -> Measured:
    """Call ``one`` at a rate, ``count`` times, while readers are checked; then wait until all events are applied."""
    found, stop = Measured(), asyncio.Event()
    before, calls_before, began = _cpu(shop.pids), await _calls(shop), time.monotonic()
    watching = [asyncio.create_task(_check(shop, readers, found, stop)), asyncio.create_task(_watch(shop, found, stop))]

    async def counted(number: int) -> None:
        try:
            await one(number)
            found.done += 1
        except (RuntimeError, aiohttp.ClientError, TimeoutError) as failure:
            found.failed[f"{type(failure).__name__}: {failure}"[:80]] += 1

    async with asyncio.TaskGroup() as running:
        for number in range(count):
            running.create_task(counted(number))
            await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    ended = time.monotonic()
    found.seconds = ended - began
    while await _oldest(shop) > 0 and time.monotonic() - ended < DRAIN_SECONDS:
        await asyncio.sleep(0.25)
    found.drained = time.monotonic() - ended
    found.cpu = {name: after - before[name] for name, after in _cpu(shop.pids).items()}
    found.calls = await _calls(shop) - calls_before
    stop.set()
    await asyncio.gather(*watching)
    return found


async def _check(shop: Shop, readers: list[str], found: Measured, stop: asyncio.Event) -> None:
    """Check readers at a constant rate."""
    headers, running = {"Authorization": f"Bearer {shop.api_key}"}, set()

    async def check(sub: str) -> None:
        began = time.monotonic()
        body = {"subscriber": sub, "feature": "archive"}
        try:
            async with shop.http.post(f"{shop.url}/v1/entitlements/check", json=body, headers=headers) as answer:
                if answer.status != 200 or not (await answer.json())["allowed"]:
                    found.failed[f"check {answer.status}"] += 1
        except (aiohttp.ClientError, TimeoutError) as failure:
            found.failed[f"check {type(failure).__name__}"] += 1
        found.checks.append(time.monotonic() - began)

    number, due = 0, time.monotonic()
    while not stop.is_set():
        task = asyncio.create_task(check(readers[number % len(readers)]))
        running.add(task)
        task.add_done_callback(running.discard)
        number, due = number + 1, due + 1 / CHECKS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*running)


async def _watch(shop: Shop, found: Measured, stop: asyncio.Event) -> None:
    while not stop.is_set():
        found.oldest = max(found.oldest, await _oldest(shop))
        await asyncio.sleep(0.5)


async def _oldest(shop: Shop) -> float:
    """Return the age in seconds of the oldest event that is not applied; 0 if there is none."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        age = await connection.fetchval(
            "SELECT extract(epoch FROM clock_timestamp() - min(received_at)) FROM events WHERE due_at IS NOT NULL"
        )
        return float(age or 0)
    finally:
        await connection.close()


async def _calls(shop: Shop) -> Counter[str]:
    """Return the calls that the local Stripe accepted, by endpoint."""
    async with shop.as_publisher.get(f"{shop.stripe}/_sandbox/limits") as answer:
        endpoints = (await answer.json())["endpoints"]
        return Counter({name: counts["let_through"] for name, counts in endpoints.items()})


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds that each process has used."""
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / _TICKS
    return found


async def buy(shop: Shop, sub: str) -> None:
    """Open a checkout and pay it, as a reader does."""
    token = access_tokens.mint(shop.issuer, sub)
    back = "http://127.0.0.1:8080/"
    order = {"plan": "annual", "print_edition": False, "success_url": back, "cancel_url": back}
    headers = {"Authorization": f"Bearer {token}"}
    async with shop.http.post(f"{shop.url}/v1/checkout-sessions", json=order, headers=headers) as answer:
        opened = await answer.json()
        if answer.status != 201:
            raise RuntimeError(f"checkout {answer.status} {opened.get('code')}")
    form = {"email": f"{sub}@example.com", **FORM}
    async with shop.http.post(opened["url"], data=form, allow_redirects=False) as paid:
        if paid.status != 303:
            raise RuntimeError(f"payment {paid.status}")


async def prepare_renewals(shop: Shop, count: int) -> list[tuple[str, int]]:
    """Create subscribers, each on a test clock of their own; return the clocks and when each renews."""
    async with shop.as_publisher.get(f"{shop.stripe}/v1/prices?product=newsstand_annual_digital") as answer:
        price = (await answer.json())["data"][0]["id"]
    now = int(time.time())
    pool = await asyncpg.create_pool(shop.dsn, min_size=1, max_size=4)

    async def one(number: int) -> str:
        clock = (await shop.post("/v1/test_helpers/test_clocks", frozen_time=str(now)))["id"]
        customer = (await shop.post("/v1/customers", test_clock=clock, email=f"renewing-{number}@example.com"))["id"]
        await pool.execute(
            "INSERT INTO subscribers (id, sub, stripe_customer_id) VALUES ('rdr_' || $1, 'renewing-' || $2, $1)",
            *(customer, str(number)),
        )
        card = (await shop.post("/v1/payment_methods/pm_card_visa/attach", customer=customer))["id"]
        fields = {"customer": customer, "default_payment_method": card, "items[0][price]": price}
        await shop.post("/v1/subscriptions", **fields)
        return str(clock)

    clocks: list[str] = []
    for start in range(0, count, 4):
        clocks += await asyncio.gather(*(one(number) for number in range(start, min(start + 4, count))))
    await pool.close()
    while await _oldest(shop) > 0:
        await asyncio.sleep(0.5)
    return [(clock, now + YEAR) for clock in clocks]


async def run(shop: Shop, *, seconds: int, slower: float) -> None:
    """Run the phases, and print their figures."""
    launch_rate, renewal_rate = LAUNCH / LAUNCH_SECONDS / slower, RENEWALS / DAY_SECONDS / slower
    checkouts = min(LAUNCH // SHARE, int(launch_rate * seconds))
    renewals = min(RENEWALS // SHARE, int(renewal_rate * seconds))
    print(f"{READERS} readers subscribe ...", flush=True)
    readers = [f"reader-{number}" for number in range(READERS)]
    for sub in readers:
        await buy(shop, sub)
    print(f"{renewals} subscriptions are prepared for their renewal ...", flush=True)
    clocks = await prepare_renewals(shop, renewals)
    async with shop.as_publisher.put(f"{shop.stripe}/_sandbox/settings", json={"rate_limits": True}) as answer:
        answer.raise_for_status()

    async def nothing(_: int) -> None:
        return

    async def subscribe(number: int) -> None:
        await buy(shop, f"new-{number}")

    async def renew(number: int) -> None:
        clock, at = clocks[number]
        await shop.post(f"/v1/test_helpers/test_clocks/{clock}/advance", frozen_time=str(at))

    quiet = await measure(shop, readers, nothing, rate=1, count=20)
    print(quiet.line("quiet"), flush=True)
    launch = await measure(shop, readers, subscribe, rate=launch_rate, count=checkouts)
    print(launch.line("launch"), flush=True)
    renewal = await measure(shop, readers, renew, rate=renewal_rate, count=renewals)
    print(renewal.line("renewals"), flush=True)


async def start(environment: Environment, *, seconds: int, slower: float) -> None:
    """Start the service, and run."""
    dsn, issuer = await asyncio.to_thread(environment.migrated_database, "launch"), ""
    issuer = await asyncio.to_thread(environment.issuer)
    port, stripe_port = free_port(), free_port()
    stripe = f"http://{HOST}:{stripe_port}"
    forward = ["--forward-to", f"http://{HOST}:{port}/webhooks/stripe", "--signing-secret", SECRET, "--key", STRIPE_KEY]
    settings = {
        "NEWSSTAND_DATABASE_URL": dsn,
        "NEWSSTAND_DATA_DIR": str(environment.folder()),
        "NEWSSTAND_OIDC_ISSUER": issuer,
        "NEWSSTAND_WEBHOOK_SECRETS": SECRET,
        "NEWSSTAND_STRIPE_URL": stripe,
        "NEWSSTAND_STRIPE_API_KEY": STRIPE_KEY,
        "NEWSSTAND_RECONCILE_AT": "never",
        "NEWSSTAND_LOG_LEVEL": "WARNING",
    }
    pids = {"stripe": environment.process("stripe", ["sandbox", *forward], {}, port=stripe_port, core=LOAD_CORE)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")}
    push = [sys.executable, "-m", "app", "catalogue", "push", "--yes"]
    await asyncio.to_thread(
        subprocess.run, push, cwd=ROOT, env=inherited | settings, check=True, stdout=subprocess.DEVNULL
    )
    pids["api"] = environment.process("api", ["app", "serve", "--no-worker"], settings, port=port)
    pids["worker"] = environment.process("worker", ["app", "worker"], settings, port=None)
    key = await asyncio.to_thread(environment.api_key, dsn)
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http,
        aiohttp.ClientSession(headers=PUBLISHER, timeout=timeout) as as_publisher,
    ):
        shop = Shop(f"http://{HOST}:{port}", stripe, issuer, key, dsn, pids, http, as_publisher)
        await run(shop, seconds=seconds, slower=slower)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.launch_day", description=__doc__)
    parser.add_argument("--seconds", type=int, default=180, help="of each phase, at most 3600 (default: 180)")
    parser.add_argument("--slower", type=float, default=1.0, help="divide both rates by this (default: 1)")
    options = parser.parse_args()
    print(f"The load of the machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    with Environment(print) as environment:
        asyncio.run(start(environment, seconds=min(options.seconds, 3600), slower=max(options.slower, 1.0)))


if __name__ == "__main__":
    main()
