"""
Sign-in sessions, in the memory of this process.

The signed session cookie holds a random session ID and the CSRF token. A site with several processes would keep its
sessions in a database.
"""

import secrets
import time

from starlette.requests import Request

from demo.magazine.oidc import Reader, SignInAttempt

CONTINUED = "checkout"  # in the session: what a reader chose before signing in
ATTEMPT_LIFETIME = 600  # seconds to complete the sign-in form


class Sessions:
    """Signed-in readers by session ID, and pending sign-in attempts by browser and state."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._attempts: dict[tuple[str, str], SignInAttempt] = {}

    def reader(self, request: Request) -> Reader | None:
        """Return the signed-in reader, unless their access token has expired."""
        session_id = str(request.session.get("sid"))
        reader = self._readers.get(session_id)
        if reader is not None and reader.expires_at <= time.time():
            del self._readers[session_id]
            return None
        return reader

    def add_attempt(self, request: Request, attempt: SignInAttempt) -> None:
        """Store a sign-in attempt until the browser returns, and drop expired ones."""
        oldest = time.time() - ATTEMPT_LIFETIME
        self._attempts = {key: kept for key, kept in self._attempts.items() if kept.started_at > oldest}
        browser = request.session.setdefault("browser", secrets.token_urlsafe(24))
        self._attempts[browser, attempt.state] = attempt

    def take_attempt(self, request: Request, state: str) -> SignInAttempt | None:
        """Return and remove the attempt that this browser started with this state."""
        return self._attempts.pop((str(request.session.get("browser")), state), None)

    def sign_in(self, request: Request, reader: Reader) -> None:
        """Start a session with a new ID, which prevents session fixation. What the reader was buying is kept."""
        chosen = request.session.get(CONTINUED)
        self.sign_out(request)
        if chosen is not None:
            request.session[CONTINUED] = chosen
        request.session["sid"] = session_id = secrets.token_urlsafe(32)
        self._readers[session_id] = reader

    def sign_out(self, request: Request) -> None:
        """End the session and clear its cookie."""
        self._readers.pop(str(request.session.get("sid")), None)
        request.session.clear()
