"""
Whether a secret could be guessed.

Only what random generators practically never produce is refused: public values, words, repetitions and sequences. An
estimate of the entropy alone would accept a sentence such as ``please-set-a-long-random-secret-here``.
"""

from collections.abc import Iterator
from itertools import pairwise

# The secrets of the local Stripe, the demo and the compose file. Tests compare this list with theirs.
PUBLIC_SECRETS = frozenset(
    {
        "whsec_sandbox_public_do_not_use_live",
        "a-public-secret-of-the-demo",
        "another-public-secret-of-the-demo",
        "not-a-secret-demo-session-key",
        "newsstand",
    }
)
FEWEST_CHARACTERS = 8  # different ones; 24 random hexadecimal digits have 12 on average
# A random text of 48 letters and digits contains one of these words about once in 300,000 times.
WORDS = (
    "change", "demo-", "example", "newsstand", "passw", "placeholder", "please", "public", "qwerty", "random", "replace",
    "sandbox", "secret", "test-",
)  # fmt: skip


def weaknesses(secret: str, *, shortest: int) -> Iterator[str]:
    """
    Yield what is wrong with a secret, as the end of a sentence that begins with "a secret".

    :param shortest: minimum number of characters. A prefix such as ``whsec_`` doesn't count.
    """
    if secret in PUBLIC_SECRETS:
        yield "is public: it is part of Newsstand's demo"
        return
    body = secret.removeprefix("whsec_")
    if len(body) < shortest:
        yield f"is too short: at least {shortest} random characters are required"
    elif _is_guessable(body):
        yield "is easy to guess: use random characters, such as the output of openssl rand -hex 32"


def _is_guessable(text: str) -> bool:
    lower = text.lower()
    return (
        len(set(text)) < FEWEST_CHARACTERS
        or any(word in lower for word in WORDS)
        or any(text.startswith(text[shift:]) for shift in range(1, len(text) // 2 + 1))  # repeats its beginning
        or _sequential_share(text) > 2 / 3
    )


def _sequential_share(text: str) -> float:
    """Return the share of characters that equal, follow or precede the one before, as in ``1234`` or ``aabb``."""
    steps = [abs(ord(after) - ord(before)) for before, after in pairwise(text)]
    return sum(step <= 1 for step in steps) / max(len(steps), 1)
