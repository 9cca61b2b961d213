"""
Random input for every parser of what comes from outside: none of it is an error of ours, and none of it blocks for long.

``make test`` tries a small share, always the same, so that a change is refused only for what it changed. ``make soak`` tries
100,000 others each time. A failure shows the seed and the input; with SEED=… the same inputs come again.
"""

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import typer

from app.cli.imports import read_subs
from app.console.sessions import SessionCookie
from app.console.state import CONSOLE
from app.domain import calendar_files, return_urls
from app.domain.errors import DomainError
from app.domain.events import InvalidEvent
from app.domain.plans import BadCatalogue
from app.gateway import events, signatures
from app.pages import return_paths
from app.pages.cookies import CookieCipher
from app.pages.oidc import SignInAttempt
from app.services import catalogue
from tests.openapi.test_contract import SNAPSHOT
from tests.security.fuzzing import Fuzzer
from tests.security.wire import Connection, connection
from tests.support.shop import CATALOGUE, Shop

GIVEN = int(os.environ.get("SEED", "0"))
SEED, NEW_SEED = GIVEN or 1, GIVEN or time.time_ns() % 2**32
NOW = datetime(2026, 3, 1, 18, tzinfo=UTC)
SECRET = "whsec_fuzz"
DOCUMENT: dict[str, Any] = json.loads(SNAPSHOT.read_text())
EVENT = {
    "id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1772388000, "livemode": False,
    "api_version": "2026-10-28.endive", "request": {"id": None}, "data": {"object": {
        "id": "in_1", "object": "invoice", "subscription": "sub_1", "customer": "cus_1", "payment_intent": "pi_1",
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"newsstand_sub": "ada"}}},
        "lines": {"data": [{"id": "il_1", "period": {"start": 1, "end": 2}}]}}},
}  # fmt: skip
CALENDAR = calendar_files.write(calendar_files.plan_year(2026, first_number=1)[:3]).encode()


def try_signature(fuzzer: Fuzzer, _: Path) -> None:
    body = fuzzer.json(EVENT)
    header = f"t={int(NOW.timestamp())},v1={'0' * 64},v0=1"
    header = fuzzer.mutated(header.encode()).decode("latin-1")
    signatures.verify(body, header, [SECRET], now=NOW)


def try_event(fuzzer: Fuzzer, _: Path) -> None:
    body = fuzzer.json(EVENT)
    text = signatures.verify(body, sign(body, int(NOW.timestamp()), SECRET), [SECRET], now=NOW)
    events.refetch_request(text)
    events.reduced_payload(text)


def try_calendar(fuzzer: Fuzzer, _: Path) -> None:
    calendar_files.read(fuzzer.mutated(CALENDAR))


def try_subs(fuzzer: Fuzzer, folder: Path) -> None:
    file = folder / "subs.csv"
    file.write_bytes(fuzzer.mutated(b'customer,sub\ncus_1,user-1\ncus_2,"user, 2"\n'))
    read_subs(file)


def try_catalogue(fuzzer: Fuzzer, folder: Path) -> None:
    file = folder / "catalogue.toml"
    file.write_bytes(fuzzer.mutated(CATALOGUE.read_bytes()))
    catalogue.load(file)


CIPHER = CookieCipher("k" * 40, purpose="console: staff")
CONTENT = {"id": "ses_1", "sub": "agent", "form_token": "x", "seen": 1772388000.5}
COOKIE = SessionCookie(id="ses_1", sub="agent", form_token="x", last_used_at=NOW)


def try_cookie(fuzzer: Fuzzer, _: Path) -> None:
    if fuzzer.random.random() < 0.5:  # forged
        value = fuzzer.mutated(COOKIE.to_value(CIPHER, now=NOW).encode()).decode("latin-1")
    else:  # of another release: genuine, with other content
        content = fuzzer.like(CONTENT)
        value = CIPHER.encrypt(content if isinstance(content, dict) else {"odd": content}, now=NOW)
    hour = timedelta(hours=1)
    SessionCookie.from_value(value, CIPHER, idle=hour, now=NOW)
    SignInAttempt.from_dict(CIPHER.decrypt(value, max_age=hour, now=NOW) or {}, redirect_uri="")


def try_url(fuzzer: Fuzzer, _: Path) -> None:
    url = fuzzer.mutated(b"https://magazine.example.com:8443/welcome?session={CHECKOUT_SESSION_ID}").decode("latin-1")
    return_paths.safe(fuzzer.mutated(b"/console/readers/rdr_1?q=a").decode("latin-1") + fuzzer.text(), below=CONSOLE)
    return_urls.check(url + fuzzer.text(), ["magazine.example.com"], field="success_url")


PARSERS: dict[str, tuple[Callable[[Fuzzer, Path], None], type[Exception]]] = {
    "signatures": (try_signature, InvalidEvent),
    "events": (try_event, InvalidEvent),
    "calendar files": (try_calendar, calendar_files.BadCalendarFile),
    "files of subs": (try_subs, typer.BadParameter),
    "catalogue files": (try_catalogue, BadCatalogue),
    "cookies": (try_cookie, DomainError),
    "URLs": (try_url, DomainError),
}


def sign(body: bytes, at: int, secret: str) -> str:
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def run_parser(name: str, inputs: int, folder: Path, *, seed: int = SEED) -> None:
    parse, declared = PARSERS[name]
    refused, longest = 0, 0.0
    for number in range(inputs):
        fuzzer = Fuzzer(seed + number)
        began = time.thread_time()
        try:
            parse(fuzzer, folder)
        except declared:
            refused += 1
        except Exception as error:
            raise AssertionError(f"SEED={seed + number} {name}: {error!r}") from error
        longest = max(longest, time.thread_time() - began)
    print(f"{name}: {inputs:,} inputs, {refused:,} refused, the longest took {longest * 1000:.1f} ms of CPU time")
    assert refused > inputs / 50 or name == "cookies"  # it reaches the errors, too


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_raises_only_its_own_errors(name: str, tmp_path: Path) -> None:
    run_parser(name, 50 if name == "catalogue files" else 300, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_raises_only_its_own_errors_for_long(name: str, tmp_path: Path) -> None:
    run_parser(name, 4_000 if name == "catalogue files" else 10_000, tmp_path, seed=NEW_SEED)


async def test_random_requests_cause_no_server_error(shop: Shop) -> None:
    await run_requests(shop, 300)


@pytest.mark.soak
async def test_random_requests_cause_no_server_error_for_long(shop: Shop) -> None:
    await run_requests(shop, 36_000, seed=NEW_SEED)


async def run_requests(shop: Shop, inputs: int, *, seed: int = SEED) -> None:
    """Send random requests, one after the other, and print the longest block of the event loop."""
    reader = shop.person("ada")
    await shop.subscribe(reader)
    seen = await shop.overview(reader)
    tokens = {"reader": reader, "agent": shop.person("chief", roles=("admin",))}
    secrets = {name: person.headers["Authorization"] for name, person in tokens.items()}
    secrets["server"] = f"Bearer {shop.server_key}"
    known = {"subscriber_id": seen["id"], "payment_id": seen["payments"][0]["id"], "sub": reader.sub, "code": "annual"}
    known |= {"subscription_id": seen["subscriptions"][0]["id"], "number": "1"}
    webhook_secret = shop.settings.webhook_secrets[0].get_secret_value()
    statuses: Counter[int] = Counter()
    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.run())
    opened: Connection | None = None
    async with connections(shop.url) as connect:
        for number in range(inputs):
            fuzzer = Fuzzer(seed + number)
            sent = random_request(fuzzer, secrets, known, webhook_secret)
            opened = opened or await connect()
            answer = await opened.ask(sent)
            if answer.status == 0:  # the connection was closed after an earlier refusal
                opened = await connect()
                answer = await opened.ask(sent)
            if answer.header("connection") == "close" or answer.status == 0:
                opened = None
            statuses[answer.status] += 1
            assert answer.status == 503 or answer.status < 500, f"SEED={seed + number} {sent[:2000]!r}\n{answer}"
    beating.cancel()
    print(
        f"{inputs:,} requests {dict(statuses)}; the event loop was blocked for at most {heartbeat.longest * 1000:.0f} ms"
    )
    assert {200, 401, 404, 422} <= set(statuses)


def connections(url: str) -> Any:
    """Return a context in which connections can be opened, and which closes them."""
    from contextlib import AsyncExitStack, asynccontextmanager

    @asynccontextmanager
    async def within() -> Any:
        async with AsyncExitStack() as stack:

            async def connect() -> Connection:
                await stack.aclose()
                return await stack.enter_async_context(connection(url))

            yield connect

    return within()


class Heartbeat:
    """Measures for how long the event loop was busy without a pause, in seconds of its thread's CPU time."""

    longest = 0.0

    async def run(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.thread_time() - began)
            await asyncio.sleep(0.001)


OPERATIONS = [(method.upper(), path, one) for path, item in DOCUMENT["paths"].items() for method, one in item.items()]


def random_request(fuzzer: Fuzzer, secrets: dict[str, str], known: dict[str, str], webhook_secret: str) -> bytes:
    """Return a request to one of our operations, with something odd in it."""
    choice = fuzzer.random
    method, path, operation = choice.choice(OPERATIONS)
    if path.startswith("/v1/revocations"):
        method, path, operation = "GET", "/v1/plans", DOCUMENT["paths"]["/v1/plans"]["get"]  # it would wait
    target = path
    query = []
    for parameter in operation.get("parameters", []):
        odd = quote(fuzzer.text().encode("utf-8", "surrogatepass")[:2000])
        if parameter["in"] == "path":
            value = known.get(parameter["name"], "unknown") if choice.random() < 0.6 else odd.replace("/", "%2F") or "x"
            target = target.replace(f"{{{parameter['name']}}}", value)
        elif parameter["in"] == "query" and choice.random() < 0.5:
            query.append(
                f"{parameter['name']}={odd if choice.random() < 0.5 else quote(str(parameter.get('example', 1)))}"
            )
    if query:
        target += "?" + "&".join(query)
    caller = next((name for one in operation.get("security", []) for name in one), "reader")
    credentials = secrets["server" if caller == "server" else "agent" if "support" in path else "reader"]
    if choice.random() < 0.2:
        credentials = fuzzer.mutated(credentials.encode()).decode("latin-1")
    body = b""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        example = DOCUMENT["components"]["schemas"][schema]["examples"][0]
        body = fuzzer.json(EVENT if path.startswith("/webhooks") else example)
    headers = {
        "Host": "127.0.0.1",
        "Authorization": credentials,
        "Content-Type": "application/json" if choice.random() < 0.95 else fuzzer.text(),
        "Idempotency-Key": f"k{choice.randrange(10**9)}" if choice.random() < 0.9 else fuzzer.text(),
        "Cookie": fuzzer.mutated(b'newsstand_console=abc; newsstand_sign_in="x"; token=eyJ.e30.x').decode("latin-1"),
        "X-Request-Id": fuzzer.text()[:200],
        "If-None-Match": fuzzer.text()[:200],
        "Content-Length": str(len(body)),
    }
    if path.startswith("/webhooks"):
        headers["Stripe-Signature"] = sign(body, int(time.time()), webhook_secret)
    if choice.random() < 0.1:
        headers["Stripe-Signature"] = fuzzer.text()
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {in_a_header(value)}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def in_a_header(value: str) -> str:
    """Return a value without what would end the header: :mod:`tests.security.test_http_limits` sends that."""
    return "".join(c for c in value if c >= " " and c != "\x7f").strip()
