"""
Run the database's tests on the oldest PostgreSQL that is promised: ``python -m tests.oldest_postgres`` (``make oldest``).

The server is Debian's package postgresql-15, in a folder of its own that is removed afterwards.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.system_packages import PACKAGES, reason
from tests.support.database import ELSEWHERE, OPTIONS
from tests.support.timeouts import TIMEOUT

BINARIES = PACKAGES["postgresql-15"].parent
WHAT = ("tests/db", "tests/migrations")


def main() -> int:
    """Start the server, run the tests, stop it; return the tests' exit status."""
    if not BINARIES.exists():
        print(f"All tests skipped: {reason(['postgresql-15'])}", file=sys.stderr)
        return 0
    home = Path(tempfile.mkdtemp(prefix="newsstand-oldest-"))
    user = "postgres" if os.geteuid() == 0 else None
    try:
        if user is not None:
            shutil.chown(home, user)
        subprocess.run(
            [BINARIES / "initdb", "-D", home / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8"],
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            check=True,
        )
        server = subprocess.Popen(
            [BINARIES / "postgres", "-D", home / "data", "-h", "", "-k", home, *OPTIONS],
            user=user,
            cwd="/",
            stderr=subprocess.DEVNULL,
        )
        try:
            return _test(home)
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _test(home: Path) -> int:
    until = time.monotonic() + TIMEOUT
    while subprocess.run([BINARIES / "pg_isready", "-q", "-h", home], check=False).returncode != 0:
        if time.monotonic() > until:
            print("PostgreSQL 15 did not start", file=sys.stderr)
            return 2
        time.sleep(0.05)
    print("On PostgreSQL 15:", flush=True)
    address = f"postgresql://postgres@/postgres?host={home}"
    command = [sys.executable, "-m", "pytest", *WHAT]
    return subprocess.run(command, env=os.environ | {ELSEWHERE: address}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
