"""The issuer's signing keys, which tests rotate."""

from typing import Any, Literal

from joserfc.jwk import ECKey, KeySet, RSAKey

Algorithm = Literal["RS256", "ES256"]


class KeyRing:
    """
    The keys tokens are signed with, newest last, one of each kind at a time.

    A rotation makes a new pair and by default still publishes the old one, as a careful provider does until the
    last token signed with it has expired.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[RSAKey, ECKey]] = []
        self.rotate()

    def rotate(self, *, forget: bool = False) -> str:
        """Make a new pair of keys to sign with; `forget` stops publishing all former ones. Returns the RSA key's id."""
        rsa = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        ec = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        self._pairs = [] if forget else self._pairs
        self._pairs.append((rsa, ec))
        return str(rsa.kid)

    def signing_key(self, algorithm: Algorithm = "RS256") -> RSAKey | ECKey:
        """Return the key that signs now."""
        rsa, ec = self._pairs[-1]
        return rsa if algorithm == "RS256" else ec

    def published(self) -> dict[str, Any]:
        """Return the public halves as a JWK set, newest first."""
        keys = [key for pair in reversed(self._pairs) for key in pair]
        return dict(KeySet(list(keys)).as_dict(private=False))
