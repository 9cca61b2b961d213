"""The service as a process: it starts without settings, logs without secrets, and stops on SIGTERM."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from stripe import WebhookSignature

from app.db.engine import embedded
from app.db.engine.session import Sessions
from app.domain.callers import ApiScope
from app.settings import SANDBOX_WEBHOOK_SECRET
from demo.ports import free_port
from tests.operations.processes import GRACE, running, until
from tests.support.authentication import create_api_key
from tests.support.contexts import database_context
from tests.support.timeouts import TIMEOUT

SERVE = ["-m", "app", "serve", "--port"]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Provide an empty folder for other users, because an embedded server started by root runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="newsstand-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(embedded.socket_dir((folder / "postgres").resolve()), ignore_errors=True)
    shutil.rmtree(folder)


def test_without_settings_the_service_starts_and_stops_its_own_database(data_dir: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([*SERVE, str(port)], {"NEWSSTAND_DATA_DIR": str(data_dir)}, tmp_path / "log") as service:
        ready = service.wait_for(f"{url}/readyz").json()
        alive = httpx2.get(f"{url}/healthz", trust_env=False, timeout=TIMEOUT)
        database = postmaster(data_dir)
        assert is_running(database)

        seconds = service.terminate()

    assert (ready.pop("email"), ready.pop("why")) == ("off", None)
    assert ready == {"status": "ok", "degraded": False, "writable": True, "oldest_unapplied_event": 0.0}
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert seconds < GRACE
    assert service.stopped_well(), service.output()
    assert until(lambda: not is_running(database)), "the embedded PostgreSQL is still running"


def postmaster(data_dir: Path) -> int:
    """Return the process ID of the embedded server."""
    (file,) = data_dir.rglob("postmaster.pid")
    return int(file.read_text().split()[0])


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_log_is_json_with_request_ids_and_without_secrets(database: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    token = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"  # pragma: allowlist secret
    key = "nsk_a_key_that_nobody_made"
    signature = WebhookSignature.generate_signature_header("{}", SANDBOX_WEBHOOK_SECRET)
    settings = {"NEWSSTAND_DATABASE_URL": database, "NEWSSTAND_OIDC_ISSUER": "http://127.0.0.1:9"}
    with (
        running([*SERVE, str(port)], settings, tmp_path / "log") as service,
        httpx2.Client(base_url=url, trust_env=False, timeout=TIMEOUT) as client,
    ):
        service.wait_for(f"{url}/readyz")
        mine = client.get("/v1/plans/no-such-plan", headers={"X-Request-Id": "trace-1"})
        reader = client.get("/v1/me/subscription", headers={"Authorization": f"Bearer {token}"})
        server = client.get("/v1/subscribers/ada/entitlements", headers={"Authorization": f"Bearer {key}"})
        webhook = client.post("/webhooks/stripe", headers={"Stripe-Signature": signature}, content="{}")
        service.terminate()
        output = service.output()

    assert mine.headers["X-Request-Id"] == "trace-1"
    assert (reader.status_code, server.status_code, webhook.status_code) == (503, 401, 400)
    lines = [json.loads(line) for line in output.splitlines()]  # every line, including uvicorn's
    of_request = {line["request_id"]: line for line in lines if line["event"] == "request"}
    assert of_request["trace-1"]["route"] == "/v1/plans/{code}"
    for answer, route in ((reader, "/v1/me/subscription"), (webhook, "/webhooks/stripe")):
        line: dict[str, Any] = of_request[answer.headers["X-Request-Id"]]
        assert (line["route"], line["status"]) == (route, answer.status_code)
    signed_with = re.findall(r"v1=(\w+)", signature)
    for secret in (token, token.split(".")[1], key, SANDBOX_WEBHOOK_SECRET, *signed_with):
        assert secret not in output


def test_a_keep_alive_connection_of_a_proxy_stays_open(database: str, tmp_path: Path) -> None:
    """If the server closes the connection first, a request in transit is lost. Uvicorn's default is five seconds."""
    port = free_port()
    settings = {"NEWSSTAND_DATABASE_URL": database, "NEWSSTAND_OIDC_ISSUER": "http://127.0.0.1:9"}
    with running([*SERVE, str(port)], settings, tmp_path / "log") as service:
        service.wait_for(f"http://127.0.0.1:{port}/readyz")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as kept:
            kept.connect()
            kept.auto_open = 0  # the client would silently reconnect
            for pause in (6, 0):
                kept.request("GET", "/healthz")
                answer = kept.getresponse()
                assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
                time.sleep(pause)
        service.terminate()


def test_a_stopping_service_leaves_the_load_balancer_before_it_closes_its_port(database: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {
        "NEWSSTAND_DATABASE_URL": database,
        "NEWSSTAND_OIDC_ISSUER": "http://127.0.0.1:9",
        "NEWSSTAND_DRAIN_DELAY": "PT15S",
    }
    with running([*SERVE, str(port)], settings, tmp_path / "log") as service:
        service.wait_for(f"{url}/readyz")
        service.popen.send_signal(signal.SIGTERM)
        draining = service.wait_for(f"{url}/readyz", 503).json()
        handled = httpx2.get(f"{url}/v1/plans", trust_env=False, timeout=TIMEOUT)
        service.popen.wait(timeout=TIMEOUT)

    assert (draining["status"], draining["why"]) == ("unavailable", "the process is stopping")
    assert handled.status_code == 200
    assert service.stopped_well(), service.output()


async def test_a_stopping_service_answers_long_polls_at_once(database: str, sessions: Sessions, tmp_path: Path) -> None:
    key = await create_api_key(database_context(sessions), ApiScope.READ_ENTITLEMENTS)
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {
        "NEWSSTAND_DATABASE_URL": database,
        "NEWSSTAND_OIDC_ISSUER": "http://127.0.0.1:9",
        "NEWSSTAND_DRAIN_DELAY": "PT0S",
    }
    with running([*SERVE, str(port)], settings, tmp_path / "log") as service:
        service.wait_for(f"{url}/readyz")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as poll:
            poll.request("GET", "/v1/revocations?since=0&wait=30", headers={"Authorization": f"Bearer {key}"})
            service.wait_for(f"{url}/healthz")  # so the service has read the request before
            seconds = service.terminate()
            answer = poll.getresponse()
            body = json.loads(answer.read())

    assert (answer.status, body["data"]) == (200, [])
    assert seconds < GRACE
    assert service.stopped_well(), service.output()


def deliver(url: str) -> httpx2.Response:
    """Deliver an event of Stripe."""
    event = {"object": "event", "id": "evt_1", "type": "customer.updated", "livemode": False, "data": {"object": {}}}
    body = json.dumps(event)
    signature = WebhookSignature.generate_signature_header(body, SANDBOX_WEBHOOK_SECRET)
    headers = {"Stripe-Signature": signature}
    return httpx2.post(f"{url}/webhooks/stripe", headers=headers, content=body, trust_env=False, timeout=TIMEOUT)


class Line:
    """A proxy to PostgreSQL that a test can disconnect and restore."""

    def __init__(self, socket_file: Path, port: int) -> None:
        self._socket_file, self._port = socket_file, port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Forward connections again."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for end in list(self._ends):
            end.transport.abort()
        await asyncio.sleep(0)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        there, back = await asyncio.open_unix_connection(self._socket_file)
        self._ends.add(back)
        if writer.transport.is_closing():  # cut meanwhile
            back.transport.abort()
        with contextlib.suppress(OSError):
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._ends -= {writer, back}


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()


@pytest.fixture
async def line(database: str) -> AsyncIterator[tuple[Line, str]]:
    """Provide a proxy to the database, and the URL of the database through it."""
    name, folder = re.fullmatch(r"postgresql://postgres@/(\w+)\?host=(.+)", database).groups()  # type: ignore[union-attr]
    port = free_port()
    made = Line(Path(folder) / ".s.PGSQL.5432", port)
    await made.mend()
    yield made, f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable"
    await made.cut()


async def test_the_service_is_not_ready_while_the_database_is_down(line: tuple[Line, str], tmp_path: Path) -> None:
    to_database, dsn = line
    url = f"http://127.0.0.1:{(port := free_port())}"
    await to_database.cut()
    with running([*SERVE, str(port)], {"NEWSSTAND_DATABASE_URL": dsn}, tmp_path / "log") as service:
        await asyncio.to_thread(service.wait_for, f"{url}/readyz", 503)  # the service starts anyway and waits
        await to_database.mend()
        await asyncio.to_thread(service.wait_for, f"{url}/readyz")

        await to_database.cut()
        away = await asyncio.to_thread(service.wait_for, f"{url}/readyz", 503)
        alive = await asyncio.to_thread(service.wait_for, f"{url}/healthz")
        unstored = await asyncio.to_thread(deliver, url)
        await to_database.mend()
        back = await asyncio.to_thread(service.wait_for, f"{url}/readyz")
        stored = await asyncio.to_thread(deliver, url)

        await asyncio.to_thread(service.terminate)

    assert away.json()["why"] == "the database is not responding"
    assert alive.status_code == 200
    assert unstored.status_code >= 500  # so that Stripe retries the delivery
    assert back.json()["status"] == "ok"
    assert stored.status_code == 200
    assert service.popen.returncode in (0, -signal.SIGTERM), service.output()
