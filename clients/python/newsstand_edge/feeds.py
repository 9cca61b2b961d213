"""
The feeds that keep an edge up to date: signing keys and feature names, and revocations.

Background threads poll both, so that no reader waits for Newsstand. During an outage the last known state stays in use;
tokens expire within minutes, so a reader keeps lost access for that time at most.
"""

import json
import logging
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

KEYS_PATH = "/.well-known/jwks.json"
FEATURES_PATH = "/v1/features"
REVOCATIONS_PATH = "/v1/revocations"
KEYS_INTERVAL = 60.0  # seconds between fetches; Newsstand publishes a new key long before it signs with it
LONG_POLL = 20  # seconds that Newsstand may hold a request for revocations open
BACKOFF, MAX_BACKOFF = 1.0, 30.0  # seconds after a failed request
MAX_RESPONSE = 10_000_000  # bytes
log = logging.getLogger("newsstand_edge")


class Unavailable(Exception):
    """Newsstand can't be reached, or returned an invalid response."""


class ApiKeyRefused(Exception):
    """Newsstand refused the API key: it is wrong, expired or revoked, or lacks the scope ``entitlements:read``."""


def clean_key(api_key: str | None) -> str | None:
    """
    Return an API key without the white space around it, such as the line end of a file.

    :raises ValueError: if it is empty, or can't be the value of a header. The message doesn't contain it.
    """
    if api_key is None:
        return None
    cleaned = api_key.strip()
    if not cleaned:
        raise ValueError("The API key is empty. Set it, or pass None to run without revocations.")
    if not (cleaned.isascii() and cleaned.isprintable()) or " " in cleaned:
        raise ValueError("The API key contains characters that no API key has.")
    return cleaned


def fetch_json(url: str, *, api_key: str | None = None, timeout: float = 10.0) -> Mapping[str, Any]:
    """
    Return the JSON object at a URL.

    :raises ApiKeyRefused: if the API key is refused.
    :raises Unavailable: if the request fails, or the response is not a JSON object.
    """
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            found = json.loads(response.read(MAX_RESPONSE))
    except (OSError, ValueError) as failure:
        if api_key and isinstance(failure, urllib.error.HTTPError) and failure.code in (401, 403):
            raise ApiKeyRefused(f"{url}: {failure}. The API key needs the scope entitlements:read.") from failure
        raise Unavailable(f"{url}: {failure}") from failure
    if not isinstance(found, dict):
        raise Unavailable(f"{url}: expected a JSON object")
    return found


class Feeds:
    """Polls the signing keys and, with an API key, the revocations, until it is closed."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        keys: Callable[[Mapping[str, Any]], None],
        features: Callable[[frozenset[str]], None],
        revoked: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._url, self._api_key = url, clean_key(api_key)
        self._keys, self._features, self._revoked = keys, features, revoked
        self._cursor: str | None = None
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """
        Fetch the keys and the revocations, and start polling.

        :raises ApiKeyRefused: if Newsstand refuses the API key. Nothing is started.
        :raises Unavailable: if they can't be fetched. Polling starts anyway.
        """
        loops = [self._poll_keys] + ([self._poll_revocations] if self._api_key else [])
        if not self._api_key:
            log.warning(
                "there is no API key, so revocations are not followed: refunded readers keep access for minutes"
            )
        try:
            if self._api_key:
                self.fetch_revocations()
            self.fetch_keys()
        except Unavailable:
            self._start_threads(loops)
            raise
        self._start_threads(loops)

    def _start_threads(self, loops: list[Callable[[], None]]) -> None:
        if not self._threads:
            self._threads = [threading.Thread(target=loop, name="newsstand-edge", daemon=True) for loop in loops]
            for thread in self._threads:
                thread.start()

    def fetch_keys(self) -> None:
        """
        Fetch the current keys, and the names of the features, without which unknown ones are not reported.

        :raises Unavailable: if the keys can't be fetched; the previous ones stay in use.
        """
        try:
            self._keys(fetch_json(self._url + KEYS_PATH))
        except ValueError as error:
            raise Unavailable(f"{self._url}{KEYS_PATH}: {error}") from error
        try:
            listed = fetch_json(self._url + FEATURES_PATH).get("data")
            self._features(frozenset(str(one["name"]) for one in listed or ()))
        except (Unavailable, TypeError, KeyError) as error:
            log.warning("the features can't be fetched: %s", error)

    def fetch_revocations(self, *, wait: int = 0) -> bool:
        """
        Fetch the revocations since the last fetch. Return whether there were any.

        :raises ApiKeyRefused: if Newsstand refuses the API key.
        :raises Unavailable: if they can't be fetched.
        """
        query = {"wait": str(wait)} | ({"since": self._cursor} if self._cursor else {})
        url = f"{self._url}{REVOCATIONS_PATH}?{urllib.parse.urlencode(query)}"
        found = fetch_json(url, api_key=self._api_key, timeout=wait + 10)
        rows = found.get("data")
        if not isinstance(rows, list):
            raise Unavailable(f"{url}: expected a list of revocations")
        for row in rows:
            if isinstance(row, dict):
                self._revoked(row)
        cursor = found.get("next")
        self._cursor = str(cursor) if cursor else self._cursor
        return bool(rows)

    def close(self) -> None:
        """Stop polling. A request in progress ends by itself."""
        self._closed.set()

    def _poll_keys(self) -> None:
        self._repeat(self.fetch_keys, interval=KEYS_INTERVAL)

    def _poll_revocations(self) -> None:
        def poll() -> None:
            started_at = time.monotonic()
            found = self.fetch_revocations(wait=LONG_POLL)
            if not found and time.monotonic() - started_at < 1:  # a server without long polling: avoid a busy loop
                self._closed.wait(BACKOFF)

        self._repeat(poll, interval=0)

    def _repeat(self, poll: Callable[[], object], *, interval: float) -> None:
        backoff = BACKOFF
        while not self._closed.is_set():
            try:
                poll()
                backoff = BACKOFF
                self._closed.wait(interval)
            except (ApiKeyRefused, Unavailable) as failure:
                if isinstance(failure, ApiKeyRefused):
                    log.error("revocations are not followed: %s", failure)
                else:
                    log.warning("newsstand unavailable: %s", failure)
                self._closed.wait(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
