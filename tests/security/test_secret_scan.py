"""The scan for secrets finds them in any file, and accepts only those that are marked as made up."""

from pathlib import Path

import pytest

from app.domain.api_keys import compose
from tests.secret_scan import find, scanned

OWN = "API key or webhook secret"
KINDS = {  # assembled here, so that the scan doesn't find them in this file
    "Stripe Access Key": "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "Private Key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "Basic Auth Credentials": "postgresql://us:" + "Vb8qLx2RkTn5@db/x",
    "JSON Web Token": "eyJhbGciOiJSUzI1NiJ9" + ".eyJzdWIiOiJ1c2VyLTEifQ" + ".c2lnbmF0dXJl",
    "AWS Access Key": "AKIA" + "QYLPMN5HNM4OZ56B",
    "Base64 High Entropy String": "'Vb8qLx2RkTn5WzYc7HdMf3J" + "pGs9KuEa4nC4xW8vTq2Zk'",
}


def test_the_scan_finds_an_api_key_and_a_webhook_secret(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    key = compose("aB3" * 12)
    secret = "whsec_" + "Vb8qLx2RkTn5WzYc7" * 2  # pragma: allowlist secret
    file.write_text(f"The site uses {key} and {secret}.\n")
    assert [found.type for found in find([file])] == [OWN, OWN]


@pytest.mark.parametrize(("kind", "secret"), KINDS.items(), ids=KINDS)
def test_the_scan_finds_a_secret_and_accepts_a_marked_one(tmp_path: Path, kind: str, secret: str) -> None:
    file = tmp_path / "settings.py"
    file.write_text(f"first = 1\nsecond = {secret}\n")
    assert [(found.type, found.line_number) for found in find([file])] == [(kind, 2)]
    file.write_text(f"first = 1\nsecond = {secret}  # pragma: allowlist secret\n")
    assert list(find([file])) == []


def test_the_scan_reads_what_people_write() -> None:
    names = ["app/main.py", ".env.example", "docs/index.md", "docs/reference/api.md", "requirements/dev.lock", "a.png"]
    assert list(scanned(names)) == ["app/main.py", ".env.example", "docs/index.md"]
