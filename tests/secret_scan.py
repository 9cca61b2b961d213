"""
Look for secrets in the files of the repository: ``python -m tests.secret_scan`` (part of ``make check``).

detect-secrets finds them, by the formats of many providers and by the entropy of quoted texts. A made-up secret, which a
test needs, is marked on its line with ``pragma: allowlist secret`` in a comment.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.potential_secret import PotentialSecret
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings, get_settings, transient_settings

ROOT = Path(__file__).parents[1]
FORMATS = Path(__file__).with_name("secret_formats.py")
# Words such as `password` beside any text: nothing but test data in this code.
UNUSED = {"KeywordDetector"}
# Made by a program from files that are scanned, or hashes of packages.
GENERATED = (
    "tests/openapi/openapi.json",
    "clients/js/api.d.ts",
    "docs/reference/",
    "requirements/",
    "package-lock.json",
)
BINARY = {".png", ".svg", ".ico", ".woff2"}


def scanned(names: Iterable[str]) -> Iterator[str]:
    """Yield the names of the files that people write."""
    return (name for name in names if not any(part in name for part in GENERATED) and Path(name).suffix not in BINARY)


def find(paths: Iterable[Path]) -> Iterator[PotentialSecret]:
    """Yield each secret in some files."""
    with default_settings():
        used: list[dict[str, str]] = [{"name": name} for name in get_settings().plugins if name not in UNUSED]
    with transient_settings({"plugins_used": [*used, {"name": "OwnSecretDetector", "path": f"file://{FORMATS}"}]}):
        get_mapping_from_secret_type_to_class.cache_clear()  # else our own detector is unknown
        for path in paths:
            yield from scan_file(str(path))


def main(names: Sequence[str]) -> int:
    """Print where a secret is, never the secret. Return 1 if there is one, else 0."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    found = list(find(ROOT / name for name in scanned(names or tracked)))
    for secret in found:
        print(f"{Path(secret.filename).relative_to(ROOT)}:{secret.line_number}: {secret.type}")
    if found:
        print("Remove the secret. One that a test made up is marked on its line: # pragma: allowlist secret")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
