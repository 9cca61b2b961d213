"""The command line `python -m sandbox`."""

import asyncio
import socket
import subprocess
import sys

import httpx2
import pytest
import stripe

from sandbox.constants import DEFAULT_KEY, DEFAULT_SIGNING_SECRET
from tests.sandbox.client import Receiver
from tests.support.timeouts import TIMEOUT

_COMMAND = [sys.executable, "-m", "sandbox"]


async def test_forwarded_events_are_signed_with_the_default_secret(receiver: Receiver) -> None:
    command = [*_COMMAND, "--port", "0", "--forward-to", receiver.url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("Sandbox listening on http://127.0.0.1:")
    url = line.split()[-1]
    try:
        async with httpx2.AsyncClient(base_url=url, auth=(DEFAULT_KEY, ""), timeout=TIMEOUT) as client:
            await client.post("/v1/customers", data={"name": "Ada"})
            await client.get("/_sandbox/idle")
    finally:
        process.terminate()
        await process.wait()
    body, signature = receiver.received[0]
    assert stripe.Webhook.construct_event(body, signature, DEFAULT_SIGNING_SECRET).type == "customer.created"


def test_help_explains_how_to_use_the_sandbox() -> None:
    output = subprocess.run([*_COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("--forward-to", "--signing-secret", DEFAULT_KEY, "4242 4242 4242 4242", "/_sandbox"):
        assert word in output


def test_a_port_in_use_is_reported_without_a_traceback() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*_COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")


@pytest.mark.parametrize("options", [pytest.param([], id="random"), pytest.param(["--seed", "7"], id="given")])
def test_the_seed_is_printed_so_that_a_run_can_be_repeated(options: list[str]) -> None:
    with subprocess.Popen([*_COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            line = process.stdout.readline()
            seed = httpx2.get(f"{url}/_sandbox/settings", auth=(DEFAULT_KEY, ""), timeout=TIMEOUT).json()["seed"]
        finally:
            process.terminate()
    assert line == f"Dashboard: {url}/ (repeat this run with --seed {seed})\n"
    assert seed > 0


def test_an_invalid_seed_is_reported_without_a_traceback() -> None:
    ended = subprocess.run([*_COMMAND, "--seed", "-1"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--seed" in ended.stderr
