"""Repeatable random numbers."""

import os
import random


def seeded_random() -> random.Random:
    """Return a random generator, and print its seed for a failing test. Set NEWSSTAND_TEST_SEED to repeat a run."""
    seed = int(os.environ.get("NEWSSTAND_TEST_SEED") or random.SystemRandom().randrange(10**9))
    print(f"NEWSSTAND_TEST_SEED={seed}")
    return random.Random(seed)
