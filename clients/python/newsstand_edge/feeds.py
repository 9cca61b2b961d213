"""
What an edge is told from time to time: the keys that tokens are signed with, and whose access was taken away.

A thread of its own asks for both, so that no reader ever waits for Newsstand. While Newsstand is away, what was fetched
goes on working; tokens live for minutes only, so nobody keeps what they lost for longer than that.
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

KEYS = "/.well-known/jwks.json"
REVOCATIONS = "/v1/revocations"
KEYS_FOR = 60.0  # seconds between looks at the keys: a new one is published long before it signs
WAIT = 20  # seconds that Newsstand may keep a question for news open
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds, after a question that failed
LARGEST = 10_000_000  # bytes of an answer
log = logging.getLogger("newsstand_edge")


class Unavailable(Exception):
    """Newsstand could not be asked, or answered something else than was asked for."""


def fetch(address: str, *, api_key: str | None = None, timeout: float = 10.0) -> Mapping[str, Any]:
    """
    Return the JSON object at an address.

    :raises Unavailable: there is none to be had.
    """
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
    try:
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            found = json.loads(reply.read(LARGEST))
    except (OSError, ValueError) as failure:
        raise Unavailable(f"{address}: {failure}") from failure
    if not isinstance(found, dict):
        raise Unavailable(f"{address}: not an object")
    return found


class Feeds:
    """Asks for keys and, with an API key, for revocations, until it is closed."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        keys: Callable[[Mapping[str, Any]], None],
        revoked: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._url, self._api_key = url, api_key
        self._keys, self._revoked = keys, revoked
        self._since: str | None = None
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """
        Fetch the keys, and keep asking from then on.

        :raises Unavailable: no keys can be had, so nothing can be verified yet. It goes on trying all the same.
        """
        loops = [self._follow_keys] + ([self._follow_revocations] if self._api_key else [])
        try:
            self.fetch_keys()
        finally:
            if not self._threads:
                self._threads = [threading.Thread(target=loop, name="newsstand-edge", daemon=True) for loop in loops]
                for thread in self._threads:
                    thread.start()

    def fetch_keys(self) -> None:
        """
        Take in the keys as they are published now.

        :raises Unavailable: they cannot be had; those from before go on.
        """
        try:
            self._keys(fetch(self._url + KEYS))
        except ValueError as wrong:
            raise Unavailable(f"{self._url}{KEYS}: {wrong}") from wrong

    def fetch_revocations(self, *, wait: int = 0) -> bool:
        """
        Take in what was revoked since the last time. Tells whether there may be more at once.

        :raises Unavailable: Newsstand cannot be asked.
        """
        asked = {"wait": str(wait)} | ({"since": self._since} if self._since else {})
        address = f"{self._url}{REVOCATIONS}?{urllib.parse.urlencode(asked)}"
        found = fetch(address, api_key=self._api_key, timeout=wait + 10)
        rows = found.get("data")
        if not isinstance(rows, list):
            raise Unavailable(f"{address}: no list")
        for row in rows:
            if isinstance(row, dict):
                self._revoked(row)
        following = found.get("next")
        self._since = str(following) if following else self._since
        return bool(rows)

    def close(self) -> None:
        """Ask no more. A question that is open is left to end by itself."""
        self._closed.set()

    def _follow_keys(self) -> None:
        self._repeat(self.fetch_keys, rest=KEYS_FOR)

    def _follow_revocations(self) -> None:
        def ask() -> None:
            began = time.monotonic()
            more = self.fetch_revocations(wait=WAIT)
            if not more and time.monotonic() - began < 1:  # it does not wait: do not ask it in circles
                self._closed.wait(PAUSE)

        self._repeat(ask, rest=0)

    def _repeat(self, ask: Callable[[], object], *, rest: float) -> None:
        pause = PAUSE
        while not self._closed.is_set():
            try:
                ask()
                pause = PAUSE
                self._closed.wait(rest)
            except Unavailable as failure:
                log.warning("newsstand_away: %s", failure)
                self._closed.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
