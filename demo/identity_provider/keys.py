"""The signing keys, and their rotation."""

from typing import Any, Literal

from joserfc.jwk import ECKey, KeySet, RSAKey

Algorithm = Literal["RS256", "ES256"]


class KeyRing:
    """
    The signing keys: pairs of one RSA and one EC key, newest last. The newest pair signs.

    A rotation adds a pair and by default keeps publishing the old ones, as a real provider does until the last token
    they signed has expired.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[RSAKey, ECKey]] = []
        self.rotate()

    def rotate(self, *, forget: bool = False) -> str:
        """Add a new pair of keys and return the RSA key's ID. With ``forget``, stop publishing all older pairs."""
        rsa = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        ec = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        self._pairs = [] if forget else self._pairs
        self._pairs.append((rsa, ec))
        return str(rsa.kid)

    def signing_key(self, algorithm: Algorithm = "RS256") -> RSAKey | ECKey:
        """Return the current signing key."""
        rsa, ec = self._pairs[-1]
        return rsa if algorithm == "RS256" else ec

    def public_jwks(self) -> dict[str, Any]:
        """Return the public keys as a JWK set, newest first."""
        keys = [key for pair in reversed(self._pairs) for key in pair]
        return dict(KeySet(list(keys)).as_dict(private=False))
