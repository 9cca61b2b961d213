#!/usr/bin/env python3
"""
Install the Debian packages that the tests use: ``scripts/system_packages.py [PACKAGE...]``, by default all of them.

As root on Debian 12 the missing packages are installed. Elsewhere one line names them, and the tests that need them are
skipped. When nothing is missing, the script does nothing. It needs only Python, because it runs before ``.venv`` exists.
"""

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The file that each package provides. It counts as installed if the file exists, wherever it came from.
PACKAGES = {
    "chromium": Path("/usr/bin/chromium"),
    "nginx-light": Path("/usr/sbin/nginx"),
    "caddy": Path("/usr/bin/caddy"),
    "debootstrap": Path("/usr/sbin/debootstrap"),
    "postgresql-15": Path("/usr/lib/postgresql/15/bin/postgres"),
}
# What `make soak-ha` needs.
HA_PACKAGES = {
    "postgresql-15": PACKAGES["postgresql-15"],
    "nginx-light": PACKAGES["nginx-light"],
    "patroni": Path("/usr/bin/patroni"),
    "etcd-server": Path("/usr/bin/etcd"),
    "haproxy": Path("/usr/sbin/haproxy"),
    "pgbouncer": Path("/usr/sbin/pgbouncer"),
}
VENV = "python3-venv"  # provides a module and no file; installed only when it is named
APT_GET = ("apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=600")


@dataclass(frozen=True)
class Machine:
    """Where packages are installed: the file system from ``root`` on, by the user ``user_id``."""

    root: Path = Path("/")
    user_id: int = os.geteuid()

    def missing(self, packages: Iterable[str]) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in packages if not self._has(package)]

    def _has(self, package: str) -> bool:
        if package == VENV:
            command = [os.environ.get("PYTHON", sys.executable), "-c", "import ensurepip, venv"]
            return subprocess.run(command, check=False, capture_output=True).returncode == 0
        return (self.root / {**PACKAGES, **HA_PACKAGES}[package].relative_to("/")).exists()

    def may_install(self) -> bool:
        """Return whether this is Debian 12 and the user is root."""
        try:
            lines = (self.root / "etc/os-release").read_text().splitlines()
        except OSError:
            return False
        release = dict(shlex.split(line)[0].split("=", 1) for line in lines if "=" in line)
        return self.user_id == 0 and (release.get("ID"), release.get("VERSION_ID")) == ("debian", "12")

    def install(self, packages: Sequence[str]) -> bool:
        """Install packages and return whether that succeeded. Of several runs at a time, one installs."""
        with (self.root / "var/lib/dpkg/status").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            packages = self.missing(packages)  # another run may have installed them while this one waited
            if not packages:
                return True
            print(f"Installing {', '.join(packages)} ...", flush=True)
            with self._no_services():
                return _apt_get("update") and _apt_get("install", "-y", "--no-install-recommends", *packages)

    @contextmanager
    def _no_services(self) -> Iterator[None]:
        """Keep Debian from starting the services of the packages that it installs, as its policy layer allows."""
        policy = self.root / "usr/sbin/policy-rc.d"
        if policy.exists():  # such as in a container: the administrator decides
            yield
            return
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        try:
            yield
        finally:
            policy.unlink()


def _apt_get(*arguments: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = [*APT_GET, *arguments]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode == 0


def reason(packages: Iterable[str]) -> str:
    """Return the line that says which packages are missing and how to install them."""
    names = " ".join(packages)
    return f"not installed: {names} (Debian: apt-get install {names})"


def main(packages: Sequence[str], machine: Machine) -> int:
    """Install or name what is missing of ``packages``. Return 1 if an installation failed, else 0."""
    missing = machine.missing(packages or list(PACKAGES))
    if not missing:
        return 0
    installs = machine.may_install()
    if installs and machine.install(missing):
        return 0
    print(f"{reason(missing)}; tests that need them are skipped", file=sys.stderr)
    return 1 if installs else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], Machine()))
