"""The demo's identity provider as a process, with its control API that mints any token."""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.support.timeouts import TIMEOUT


class Issuer:
    """A running identity provider."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url, self._process = url, process

    def token(self, sub: str, *, roles: list[str] | None = None, **overrides: Any) -> str:
        """Return an access token; ``overrides`` are those of the control API, valid or not."""
        asked = {"sub": sub, **overrides} | ({"roles": roles} if roles is not None else {})
        return str(self._post("/_issuer/tokens", asked)["access_token"])

    def rotate(self, *, forget: bool = False) -> None:
        """Rotate the signing keys. With ``forget``, the old keys are no longer published."""
        self._post(f"/_issuer/rotate?forget={int(forget)}", {})

    def change_roles(self, sub: str, *roles: str) -> None:
        """Change the roles of one of the demo's users."""
        self._post(f"/_issuer/users/{sub}/roles", {"roles": roles})

    def end_sessions(self, sub: str) -> None:
        """End a user's sessions. The provider tells the clients before this returns."""
        self._post(f"/_issuer/users/{sub}/end-sessions", {})

    def age_sign_ins(self, sub: str, *, seconds: int) -> None:
        """Let a user have entered their password longer ago."""
        self._post(f"/_issuer/users/{sub}/age-sign-ins", {"seconds": seconds})

    def logout_token(self, *, typ: str = "logout+jwt", **claims: Any) -> str:
        """Return a logout token for the console; ``claims`` override the valid ones, and None removes one."""
        return str(self._post("/_issuer/logout-tokens", {"typ": typ, "claims": claims})["logout_token"])

    def stop(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait(timeout=TIMEOUT)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            answer = reply.read()
        return dict(json.loads(answer)) if answer else {}


@contextlib.contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an identity provider on a free port."""
    command = [sys.executable, "-m", "demo.identity_provider", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Identity provider listening on "), line
        issuer = Issuer(line.removeprefix("Identity provider listening on ").strip(), process)
        try:
            yield issuer
        finally:
            issuer.stop()
