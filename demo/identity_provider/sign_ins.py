"""Who is signed in at the provider, in which browser, and since when."""

import secrets
import time
from dataclasses import dataclass, field

PASSWORD, PASSWORD_AGAIN = "password", "password-again"
SUPPORTED_ACR = (PASSWORD, PASSWORD_AGAIN)  # how a person proved who they are, weakest first


@dataclass(slots=True, kw_only=True)
class SignIn:
    """A browser's session at the provider. ``sid`` is the claim of that name in ID tokens and logout tokens."""

    sub: str
    auth_time: int  # when the password was entered, in seconds since 1970
    acr: str = PASSWORD
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    clients: dict[str, str] = field(default_factory=dict)  # client ID -> redirect URI that its code was sent to


class SignIns:
    """All sessions, in memory."""

    def __init__(self) -> None:
        self._by_sid: dict[str, SignIn] = {}

    def start(self, sub: str, *, sid: str | None, acr: str) -> SignIn:
        """Record that a person entered their password. In the same browser, the same person's session goes on."""
        known = self.find(sid)
        if known is not None and known.sub == sub:
            known.auth_time, known.acr = int(time.time()), acr
            return known
        made = SignIn(sub=sub, auth_time=int(time.time()), acr=acr)
        self._by_sid[made.sid] = made
        return made

    def find(self, sid: str | None) -> SignIn | None:
        """Return a session that has not ended."""
        return self._by_sid.get(sid or "")

    def of(self, sub: str) -> list[SignIn]:
        """Return a person's sessions."""
        return [session for session in self._by_sid.values() if session.sub == sub]

    def end(self, sid: str) -> SignIn | None:
        """End a session. Return None if it has ended before."""
        return self._by_sid.pop(sid, None)
