"""
Seeds of random histories.

They are random in soak tests only. Elsewhere they are fixed, so that a rare find is not blamed on a change that did not
cause it. NEWSSTAND_TEST_SEED chooses one instead, to repeat a run.
"""

import os
import random
from collections.abc import Sequence

_CHOSEN = os.environ.get("NEWSSTAND_TEST_SEED")


def fixed_seeds(count: int) -> Sequence[int]:
    """Return the seeds with which a test runs each time."""
    return [int(_CHOSEN)] if _CHOSEN else range(1, count + 1)


def random_seed() -> int:
    """Return a new seed, for a soak test."""
    return int(_CHOSEN or random.SystemRandom().randrange(10**9))


def seeded(seed: int) -> random.Random:
    """Return a random generator, and print its seed for a failing test."""
    print(f"NEWSSTAND_TEST_SEED={seed}")
    return random.Random(seed)
