"""Access checks with entitlement tokens."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from newsstand_edge.feeds import Feeds
from newsstand_edge.tokens import TokenRejected, TokenVerifier

ISSUER, AUDIENCE = "newsstand", "newsstand-site"
COOKIE = "newsstand_entitlements"
MAX_REPORTED = 100  # unknown features that are logged
MAX_REVOCATIONS = 100_000  # a revocation is needed only until the reader's tokens expire, within minutes

log = logging.getLogger("newsstand_edge")


class Request(Protocol):
    """Your framework's request."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request headers, a case-insensitive mapping."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Whether the reader may use the feature. True in a condition if they may.

    ``reason`` is ``entitled``, ``not_entitled``, ``unknown_feature``, ``no_token``, ``token_expired``, ``token_revoked``,
    ``token_invalid``, ``token_unknown_key`` or ``token_not_yet_valid``. ``unknown_feature`` is an error in your code: the
    catalogue has no feature of this name. If the reason starts with ``token_``, get the reader a new token before
    you refuse access. ``subscriber`` is the reader's ``sub`` at your identity provider, if the token is valid.
    ``until`` is in seconds since 1970.
    """

    allowed: bool
    reason: str
    subscriber: str | None = None
    until: float | None = None

    def __bool__(self) -> bool:
        return self.allowed


class Edge:
    """
    A client of one Newsstand service.

    :param url: the base URL of Newsstand, such as ``https://newsstand.example.com``.
    :param api_key: an API key with the scope ``entitlements:read``. Without one, revocations are not followed: a
        refunded reader keeps access until their token expires, and :meth:`start` logs a warning.
    :param issuer: the issuer of the tokens: Newsstand's setting NEWSSTAND_TOKEN_ISSUER.
    :param audience: the audience of the tokens: NEWSSTAND_TOKEN_AUDIENCE.
    :param cookie: the cookie that holds the reader's token. ``Authorization: Bearer`` works too.
    :param leeway: the allowed difference between your clock and Newsstand's, in seconds.
    :param remember: the maximum number of verified tokens to cache.
    :param clock: returns the current time in seconds since 1970.
    :raises ValueError: if the API key is empty, such as that of an unset variable, or can't be one.
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
        self._tokens = TokenVerifier(issuer=issuer, audience=audience, leeway=leeway, remember=remember)
        self._cookie, self._clock = cookie, clock
        self._revoked: OrderedDict[str, int] = OrderedDict()  # by subscriber: the oldest version that is still valid
        self._counts: Counter[str] = Counter()
        self._counts_lock = threading.Lock()
        self._features: frozenset[str] = frozenset()  # of the catalogue; empty until it is known
        self._reported: set[str] = set()  # unknown features
        self.feeds = Feeds(
            self._url,
            api_key=api_key,
            keys=self._tokens.set_keys,
            features=self._set_features,
            revoked=self._revoke,
        )

    def start(self) -> None:
        """
        Fetch the keys, and keep keys and revocations up to date. Call it once, when your process starts.

        :raises ApiKeyRefused: if Newsstand refuses the API key. Nothing is started. A key that is refused later is logged as
            an error every time, and tokens keep working until they expire.
        :raises Unavailable: if the keys can't be fetched. Retries continue in the background; until they succeed, every
            token is rejected with the reason ``token_unknown_key``.
        """
        self.feeds.start()

    def close(self) -> None:
        """Stop the background threads."""
        self.feeds.close()

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of answers for each reason so far, for your metrics."""
        with self._counts_lock:
            return dict(self._counts)

    def may(self, request: Request, feature: str) -> Answer:
        """Return whether the reader who sent the request may use a feature. Never blocks and never raises."""
        return self.may_token(self._find_token(request) or "", feature)

    def may_token(self, token: str, feature: str) -> Answer:
        """Return whether the owner of a token may use a feature."""
        answer = self._answer(token, feature) if token else Answer(False, "no_token")
        if not answer.allowed and self._is_unknown(feature) and answer.reason == "not_entitled":
            answer = replace(answer, reason="unknown_feature")
        with self._counts_lock:
            self._counts[answer.reason] += 1
        return answer

    def _answer(self, token: str, feature: str) -> Answer:
        now = self._clock()
        try:
            claims = self._tokens.verify(token, now=now)
        except TokenRejected as rejected:
            return Answer(False, rejected.reason)
        if claims.version < self._revoked.get(claims.subscriber, 0):
            return Answer(False, "token_revoked", claims.subscriber)
        until = claims.features.get(feature)
        if until is None or now >= until:
            return Answer(False, "not_entitled", claims.subscriber, until)
        return Answer(True, "entitled", claims.subscriber, until)

    def _is_unknown(self, feature: str) -> bool:
        """Return whether the catalogue has no such feature. The first time it is logged as an error."""
        if not self._features or feature in self._features:
            return False
        if feature not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add(feature)
            log.error("the catalogue has no feature %r; it has: %s", feature, ", ".join(sorted(self._features)))
        return True

    def _set_features(self, names: frozenset[str]) -> None:
        self._features = names

    def _find_token(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token.strip()
        for pair in request.headers.get("cookie", "").split(
            ";"
        ):  # the standard library's parser stops at malformed cookies
            name, _, value = pair.strip().partition("=")
            if name == self._cookie:
                return value.strip('"') or None
        return None

    def _revoke(self, row: Mapping[str, Any]) -> None:
        subscriber, version = row.get("subscriber"), row.get("version")
        if not isinstance(subscriber, str) or not isinstance(version, int):
            return
        self._revoked[subscriber] = max(version, self._revoked.pop(subscriber, 0))
        if len(self._revoked) > MAX_REVOCATIONS:
            self._revoked.popitem(last=False)
