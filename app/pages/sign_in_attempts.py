"""The sign-ins in progress in a browser."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from app.pages.cookies import CookieCipher
from app.pages.oidc import SignInAttempt

MAX_AGE = timedelta(minutes=10)
MOST = 5  # in one browser; the oldest are deleted
LONGEST = 4000  # characters of all of them: proxies refuse requests with more than 8,000 in their cookies


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCookies:
    """
    The cookies of the sign-ins in progress: one for each, because each tab can start one.

    A browser that reopens its tabs starts them at once, so a cookie that they shared would keep only the last. The last
    release has such a cookie, called ``name``. It is kept too, so that either release can finish what the other has started.
    """

    name: str  # how the names of the cookies begin
    path: str
    redirect_uri: str  # where the provider returns to
    cipher: CookieCipher
    secure: bool

    def save(self, request: Request, response: Response, attempt: SignInAttempt, *, now: datetime) -> None:
        """Add an attempt, and delete the oldest beyond the most that are kept."""
        value = self.cipher.encrypt(attempt.to_dict(), now=now)
        self._set(response, self._name_of(attempt.state), value)
        self._set(response, self.name, self.cipher.encrypt(attempt.to_older_dict(), now=now))
        others = [name for name in request.cookies if name.startswith(f"{self.name}_")]
        others.sort(key=lambda name: self._started_at(request, name, now), reverse=True)
        length = len(value)
        for number, name in enumerate(others, start=2):
            length += len(request.cookies[name])
            if number > MOST or length > LONGEST:
                self._delete(response, name)

    def find(self, request: Request, *, now: datetime) -> SignInAttempt | None:
        """Return the attempt that the identity provider's redirect belongs to, by its ``state``. None: there is none."""
        state = request.query_params.get("state", "")
        found = (self._read(request, name, now) for name in (self._name_of(state), self.name))
        return next((attempt for attempt in found if attempt is not None and attempt.state == state), None)

    def delete(self, request: Request, response: Response) -> None:
        """Delete the attempt that the identity provider's redirect belongs to, and the last release's cookie."""
        self._delete(response, self.name)
        self._delete(response, self._name_of(request.query_params.get("state", "")))

    def _name_of(self, state: str) -> str:
        """Return the name of an attempt's cookie. It doesn't reveal the state, and any state gives a valid name."""
        return f"{self.name}_{hashlib.sha256(state.encode(errors='replace')).hexdigest()[:16]}"

    def _read(self, request: Request, name: str, now: datetime) -> SignInAttempt | None:
        content = self.cipher.decrypt(request.cookies.get(name, ""), max_age=MAX_AGE, now=now)
        return SignInAttempt.from_dict(content, redirect_uri=self.redirect_uri) if content is not None else None

    def _started_at(self, request: Request, name: str, now: datetime) -> float:
        attempt = self._read(request, name, now)
        return attempt.started_at if attempt is not None else 0.0

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(
            name,
            value,
            path=self.path,
            max_age=int(MAX_AGE.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=self.secure,
        )

    def _delete(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path=self.path, httponly=True, samesite="lax", secure=self.secure)
