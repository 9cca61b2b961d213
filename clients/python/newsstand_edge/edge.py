"""One question, answered beside your pages."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from newsstand_edge.feeds import Feeds
from newsstand_edge.tokens import Refused, Tokens

ISSUER, AUDIENCE = "newsstand", "newsstand-site"
COOKIE = "newsstand_entitlements"
REMEMBERED = 100_000  # revocations; each is needed for as long as a token lives, which is minutes


class Request(Protocol):
    """Whatever your framework calls a request."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, found by their names in any case."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Whether the reader may use the feature. As a condition it is true when they may.

    ``reason`` is ``entitled``, ``not_entitled``, ``no_token``, ``token_expired``, ``token_revoked``, ``token_invalid``,
    ``token_unknown_key`` or ``token_not_yet_valid``. After the last five, fetch the reader a new token before you send
    them away. ``until`` is seconds since 1970.
    """

    allowed: bool
    reason: str
    subscriber: str | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self.allowed


class Edge:
    """
    Answers for one Newsstand.

    :param url: where Newsstand is, as in ``https://newsstand.example.com``.
    :param issuer: who signs the tokens: Newsstand's setting NEWSSTAND_TOKEN_ISSUER.
    :param api_key: a key with the scope ``entitlements:read``. Without one revocations are not followed, and a reader who
        was refunded keeps what their token says until it dies.
    :param audience: for whom they are: NEWSSTAND_TOKEN_AUDIENCE.
    :param cookie: where your site keeps the reader's token; ``Authorization: Bearer`` is looked at as well.
    :param leeway: seconds that your clock and Newsstand's may differ by.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        issuer: str = ISSUER,
        audience: str = AUDIENCE,
        cookie: str = COOKIE,
        leeway: float = 5.0,
        remember: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url.rstrip("/")
        self._tokens = Tokens(issuer=issuer, audience=audience, leeway=leeway, remember=remember)
        self._cookie, self._clock = cookie, clock
        self._revoked: OrderedDict[str, int] = OrderedDict()  # by subscriber: versions below this one
        self._counted: Counter[str] = Counter()
        self._counting = threading.Lock()
        self.feeds = Feeds(self._url, api_key=api_key, keys=self._tokens.set_keys, revoked=self._take_back)

    def start(self) -> None:
        """
        Fetch the keys, and follow keys and revocations from then on. Call it once, when your process starts.

        :raises Unavailable: there are no keys yet. It goes on trying; until then every token is of an unknown key.
        """
        self.feeds.start()

    def close(self) -> None:
        """Follow nothing any more."""
        self.feeds.close()

    @property
    def counted(self) -> Mapping[str, int]:
        """How many answers were given for each reason so far, for your metrics."""
        with self._counting:
            return dict(self._counted)

    def may(self, request: Request, feature: str) -> Answer:
        """Tell whether the reader who sent ``request`` may use ``feature``. Never waits, never raises."""
        return self.may_token(self._token_of(request) or "", feature)

    def may_token(self, token: str, feature: str) -> Answer:
        """Tell whether the reader of a token may use ``feature``."""
        answer = self._answer(token, feature) if token else Answer(False, "no_token")
        with self._counting:
            self._counted[answer.reason] += 1
        return answer

    def _answer(self, token: str, feature: str) -> Answer:
        now = self._clock()
        try:
            entitled = self._tokens.read(token, now=now)
        except Refused as refused:
            return Answer(False, refused.reason)
        if entitled.version < self._revoked.get(entitled.subscriber, 0):
            return Answer(False, "token_revoked", entitled.subscriber)
        until = entitled.features.get(feature)
        if until is None or now >= until:
            return Answer(False, "not_entitled", entitled.subscriber, until)
        return Answer(True, "entitled", entitled.subscriber, until)

    def _token_of(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
        for pair in request.headers.get("cookie", "").split(";"):  # the standard library's parser gives up at odd ones
            name, _, value = pair.strip().partition("=")
            if name == self._cookie:
                return value.strip('"') or None
        return None

    def _take_back(self, row: Mapping[str, Any]) -> None:
        subscriber, version = row.get("subscriber"), row.get("version")
        if not isinstance(subscriber, str) or not isinstance(version, int):
            return
        self._revoked[subscriber] = max(version, self._revoked.pop(subscriber, 0))
        if len(self._revoked) > REMEMBERED:
            self._revoked.popitem(last=False)
