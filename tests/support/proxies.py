"""Runs Debian's nginx and Caddy with the configurations from deploy/gate."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.ports import free_port
from tests.support.packages import skip_without
from tests.support.timeouts import TIMEOUT

DEPLOY = Path(__file__).parents[2] / "deploy" / "gate"
PATH = os.environ["PATH"] + ":/usr/sbin"
PACKAGES = {"nginx": "nginx-light", "caddy": "caddy"}
FILES = {"nginx": "nginx.conf", "caddy": "Caddyfile"}


@contextmanager
def run_proxy(name: str, *, service: str, site: str, folder: Path) -> Iterator[str]:
    """
    Run a proxy with the shipped configuration, with the addresses replaced, and yield its URL.

    The test is skipped if the proxy is not installed.

    :param service: URL of Newsstand.
    :param site: URL of the site behind the proxy.
    """
    skip_without(PACKAGES[name])
    port, file = free_port(), FILES[name]
    settings = (DEPLOY / file).read_text()
    for shipped, replacement in (
        ("127.0.0.1:8000", service.removeprefix("http://")),
        ("127.0.0.1:8080", site.removeprefix("http://")),
        ("127.0.0.1:8081", f"127.0.0.1:{port}"),
        ("worker_processes auto;", "worker_processes 1;"),
    ):
        assert shipped in settings or name == "caddy", shipped
        settings = settings.replace(shipped, replacement)
    (folder / file).write_text(settings)
    (folder / "tmp").mkdir()
    command = {
        "nginx": ["nginx", "-p", str(folder), "-c", file, "-e", "stderr", "-g", "daemon off; user root;"],
        "caddy": ["caddy", "run", "--config", str(folder / file)],
    }[name]
    home = {"PATH": PATH, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=home, cwd=folder)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(TIMEOUT)
