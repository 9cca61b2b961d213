"""
Who is signed in, in this process's memory.

The session's cookie holds a random reference and the form token, signed. A site of more than one process would keep
these in its database.
"""

import secrets
import time

from starlette.requests import Request

from demo.magazine.oidc import Attempt, Reader

ATTEMPT_LIFETIME = 600  # seconds to fill in the issuer's form


class Sessions:
    """Signed-in readers and sign-ins on their way, each by the reference in the browser's cookie."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._attempts: dict[tuple[str, str], Attempt] = {}

    def reader(self, request: Request) -> Reader | None:
        """Return who is signed in, if their token still holds."""
        reference = str(request.session.get("sid"))
        reader = self._readers.get(reference)
        if reader is not None and reader.expires_at <= time.time():
            del self._readers[reference]
            return None
        return reader

    def begin(self, request: Request, attempt: Attempt) -> None:
        """Remember a sign-in until the browser comes back with it; old ones are dropped."""
        oldest = time.time() - ATTEMPT_LIFETIME
        self._attempts = {key: kept for key, kept in self._attempts.items() if kept.begun_at > oldest}
        browser = request.session.setdefault("browser", secrets.token_urlsafe(24))
        self._attempts[browser, attempt.state] = attempt

    def returning(self, request: Request, state: str) -> Attempt | None:
        """Return the sign-in that this browser began with this state, once."""
        return self._attempts.pop((str(request.session.get("browser")), state), None)

    def sign_in(self, request: Request, reader: Reader) -> None:
        """Start a session under a new reference, so that one planted before signing in is worth nothing."""
        self.sign_out(request)
        request.session["sid"] = reference = secrets.token_urlsafe(32)
        self._readers[reference] = reader

    def sign_out(self, request: Request) -> None:
        """Forget the reader and everything about the browser."""
        self._readers.pop(str(request.session.get("sid")), None)
        request.session.clear()
