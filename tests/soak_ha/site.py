"""Newsstand around the cluster: two API processes, two workers, the balancers, the local Stripe and an identity provider."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.soak_ha import configurations
from tests.soak_ha.cluster import Cluster, child, make_folder
from tests.soak_ha.processes import HOST, Child, free_ports, wait_for_port

ROOT = Path(__file__).parents[2]
STRIPE_KEY, SIGNING_SECRET = "sk_test_sandbox_public", "whsec_sandbox_public_do_not_use_live"
PUBLISHER = {"Authorization": aiohttp.encode_basic_auth(STRIPE_KEY, "")}
PRICE = 49_00  # of the annual plan, in cents
READY_SECONDS = 90.0
AT_ONCE = 8  # readers who subscribe at the same time, while the rig is prepared


@dataclass(frozen=True)
class Reader:
    """A reader with a paid subscription, and their access token."""

    sub: str
    subscription: str
    payment: str
    token: str


class Site:
    """The processes of Newsstand. ``urls`` are those of HAProxy and of nginx."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self._logs = folder / "site"
        self._logs.mkdir()
        first, second, stripe, issuer, haproxy, nginx = free_ports(6)
        self.stripe, self.issuer = f"http://{HOST}:{stripe}", f"http://{HOST}:{issuer}"
        self.urls = {"haproxy": f"http://{HOST}:{haproxy}", "nginx": f"http://{HOST}:{nginx}"}
        self.ports = (first, second)
        self.direct, self.pooled = cluster.dsn(cluster.primary), cluster.dsn(cluster.pooler)
        through = {"NEWSSTAND_DATABASE_URL": self.pooled, "NEWSSTAND_DATABASE_POOLER": "true"}
        self.servers = [self._serve("api-direct", first, {}), self._serve("api-pooled", second, through)]
        self.workers = [self._app("worker-direct", ["worker"], {}), self._app("worker-pooled", ["worker"], through)]
        self.sandbox = self._python(
            "local-stripe",
            *("sandbox", "--host", HOST, "--port", str(stripe), "--signing-secret", SIGNING_SECRET),
            *("--forward-to", f"{self.urls['haproxy']}/webhooks/stripe"),
        )
        self.idp = self._python("identity-provider", "demo.identity_provider", "--host", HOST, "--port", str(issuer))
        proxies = make_folder(folder / "web")
        (proxies / "haproxy.cfg").write_text(configurations.web_balancer(haproxy, self.ports))
        (proxies / "nginx.conf").write_text(configurations.nginx(nginx, self.ports))
        make_folder(proxies / "tmp")
        at = str(proxies)
        self.balancers = [
            child("haproxy-web", ["/usr/sbin/haproxy", "-db", "-f", f"{at}/haproxy.cfg"], proxies),
            child(
                "nginx", ["/usr/sbin/nginx", "-p", at, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"], proxies
            ),
        ]
        self.api_key = ""
        self._created = 0

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of Newsstand's processes."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEWSSTAND_")}
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": HOST,
            "NEWSSTAND_DATABASE_URL": self.direct,
            "NEWSSTAND_LISTEN_DATABASE_URL": self.direct,
            "NEWSSTAND_MIGRATION_DATABASE_URL": self.direct,
            "NEWSSTAND_DATA_DIR": str(self.folder / "data"),
            "NEWSSTAND_STRIPE_URL": self.stripe,
            "NEWSSTAND_STRIPE_API_KEY": STRIPE_KEY,
            "NEWSSTAND_WEBHOOK_SECRETS": SIGNING_SECRET,
            "NEWSSTAND_OIDC_ISSUER": self.issuer,
            "NEWSSTAND_RECONCILE_AT": "never",
            "NEWSSTAND_LOG_LEVEL": "WARNING",
            **(more or {}),
        }

    def _python(self, name: str, *words: str, environment: Mapping[str, str] | None = None) -> Child:
        command = [sys.executable, "-m", *words]
        return Child(name, command, self._logs / f"{name}.log", environment or self.environment(), cwd=ROOT)

    def _app(self, name: str, words: Sequence[str], settings: Mapping[str, str]) -> Child:
        return self._python(name, "app", *words, environment=self.environment(settings))

    def _serve(self, name: str, port: int, settings: Mapping[str, str]) -> Child:
        return self._app(name, ["serve", "--no-worker", "--host", HOST, "--port", str(port)], settings)

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Run a command of ``newsstand`` and return its exit status, its output and its errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=self.environment(),
        )
        output, errors = await process.communicate()
        return process.returncode or 0, output.decode(), errors.decode()

    async def must(self, *words: str) -> str:
        """Run a command of ``newsstand`` that has to succeed, and return its output."""
        status, output, errors = await self.command(*words)
        if status != 0:
            raise RuntimeError(f"newsstand {' '.join(words)} failed ({status}):\n{output}\n{errors[-3000:]}")
        return output

    async def start(self) -> None:
        """Start everything, with an empty database and the catalogue at Stripe."""
        for one, url in ((self.sandbox, self.stripe), (self.idp, self.issuer)):
            one.start()
            await wait_for_port(int(url.rpartition(":")[2]), one)
        await self.must("migrate")
        await self.must("catalogue", "push", "--yes")
        self.api_key = (await self.must("keys", "create", "--scope", "entitlements:read")).strip()
        await self.start_service()
        for one, url in zip(self.balancers, self.urls.values(), strict=True):
            one.start()
            await wait_for_port(int(url.rpartition(":")[2]), one)
        for url in self.urls.values():
            await self.wait_until_ready(url)

    async def start_service(self) -> None:
        """Start the API processes and the workers."""
        for one in (*self.servers, *self.workers):
            one.start()
        for port in self.ports:
            await self.wait_until_ready(f"http://{HOST}:{port}")

    async def stop_service(self) -> None:
        """Stop the API processes and the workers."""
        await asyncio.gather(*(one.stop() for one in (*self.servers, *self.workers)))

    async def restart(self, number: int) -> float:
        """Stop an API process with SIGTERM and start it again; return how many seconds the stop took."""
        seconds = await self.servers[number].stop()
        self.servers[number].start()
        await self.wait_until_ready(f"http://{HOST}:{self.ports[number]}")
        return seconds

    async def wait_until_ready(self, url: str) -> None:
        """Wait until a server or a balancer answers that it is ready."""
        deadline = time.monotonic() + READY_SECONDS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
            while time.monotonic() < deadline:
                try:
                    async with http.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                await asyncio.sleep(0.2)
        logs = "\n".join(one.output()[-1500:] for one in self.servers)
        raise RuntimeError(f"{url} is not ready:\n{logs}")

    async def subscribe(self, count: int) -> list[Reader]:
        """Create readers with a paid subscription, and wait until Newsstand gives them access."""
        async with aiohttp.ClientSession(headers=PUBLISHER) as stripe, aiohttp.ClientSession() as http:
            prices = await _get(stripe, f"{self.stripe}/v1/prices?product=newsstand_annual_digital")
            price, numbers = prices["data"][0]["id"], range(self._created, self._created + count)
            self._created += count
            made: list[Reader] = []
            for start in range(0, count, AT_ONCE):
                group = numbers[start : start + AT_ONCE]
                made += await asyncio.gather(*(self._subscribe(stripe, http, f"reader-{n}", price) for n in group))
            await self.wait_for_access(http, made)
        return made

    async def _subscribe(
        self, stripe: aiohttp.ClientSession, http: aiohttp.ClientSession, sub: str, price: str
    ) -> Reader:
        customer = await _post(
            stripe,
            f"{self.stripe}/v1/customers",
            **{
                "email": f"{sub}@example.com",
                "metadata[newsstand_sub]": sub,
                "metadata[newsstand_subscriber]": f"rdr_{sub}",
            },
        )
        connection = await asyncpg.connect(self.direct)
        try:
            await connection.execute(
                "INSERT INTO subscribers (id, sub, email, stripe_customer_id) VALUES ($1, $2, $3, $4)",
                *(f"rdr_{sub}", sub, f"{sub}@example.com", customer["id"]),
            )
        finally:
            await connection.close()
        card = await _post(stripe, f"{self.stripe}/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
        bought = await _post(
            stripe,
            f"{self.stripe}/v1/subscriptions",
            **{"customer": customer["id"], "default_payment_method": card["id"], "items[0][price]": price},
        )
        path = f"{self.stripe}/v1/invoices?subscription={bought['id']}&expand[0]=data.payments"
        invoice = (await _get(stripe, path))["data"][0]
        payment = invoice["payments"]["data"][0]["payment"]["payment_intent"]
        return Reader(sub, bought["id"], payment, await self.token(http, sub))

    async def token(self, http: aiohttp.ClientSession, sub: str) -> str:
        """Return an access token that is valid for a day."""
        wanted = {"sub": sub, "email": f"{sub}@example.com", "expires_in": 86_400}
        async with http.post(f"{self.issuer}/_issuer/tokens", json=wanted) as answer:
            return str((await answer.json())["access_token"])

    async def wait_for_access(self, http: aiohttp.ClientSession, readers: Sequence[Reader]) -> None:
        """Wait until every reader has access."""
        deadline = time.monotonic() + READY_SECONDS
        for reader in readers:
            while not await self._may_read(http, reader):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{reader.sub} has no access")
                await asyncio.sleep(0.2)

    async def _may_read(self, http: aiohttp.ClientSession, reader: Reader) -> bool:
        url, body = f"{self.urls['haproxy']}/v1/entitlements/check", {"subscriber": reader.sub, "feature": "archive"}
        async with http.post(url, json=body, headers={"Authorization": f"Bearer {self.api_key}"}) as answer:
            return answer.status == 200 and bool((await answer.json())["allowed"])

    async def stripe_list(self, path: str) -> list[dict[str, Any]]:
        """Return all objects of a list at the local Stripe."""
        found: list[dict[str, Any]] = []
        async with aiohttp.ClientSession(headers=PUBLISHER) as stripe:
            more = True
            while more:
                after = f"&starting_after={found[-1]['id']}" if found else ""
                page = await _get(stripe, f"{self.stripe}{path}?limit=100{after}")
                found += page["data"]
                more = page["has_more"]
        return found

    def logged(self, words: str) -> int:
        """Return how often a text is in the logs of Newsstand's processes."""
        files = [one.log for one in (*self.servers, *self.workers)]
        return sum(file.read_text(errors="replace").count(words) for file in files if file.exists())

    def stop(self) -> None:
        """Kill everything."""
        for one in (*self.servers, *self.workers, *self.balancers, self.idp, self.sandbox):
            one.kill()


async def _post(http: aiohttp.ClientSession, url: str, **fields: str) -> dict[str, Any]:
    async with http.post(url, data=fields) as answer:
        return _checked(answer.status, await answer.json())


async def _get(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(url) as answer:
        return _checked(answer.status, await answer.json())


def _checked(status: int, body: Any) -> dict[str, Any]:
    if status >= 300:
        raise RuntimeError(f"Stripe: {status} {body}")
    return dict(body)
