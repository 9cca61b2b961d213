"""Access tokens signed for the benchmarks' identity provider (:mod:`bench.baselines`)."""

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

KID = "bench"
_PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC_JWK = json.dumps(
    {**json.loads(ECAlgorithm.to_jwk(_PRIVATE.public_key())), "kid": KID, "alg": "ES256", "use": "sig"}
)


def mint(issuer: str, sub: str) -> str:
    """Return an access token for a reader, valid for a day."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": "newsstand", "sub": sub, "iat": now, "exp": now + 86_400, "client_id": "site"}
    return jwt.encode(claims, _PRIVATE, algorithm="ES256", headers={"kid": KID, "typ": "at+jwt"})
