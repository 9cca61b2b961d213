"""Chance that can be repeated."""

import os
import random


def seeded_random() -> random.Random:
    """Return a source of chance, and print its seed, which is shown with a failure: NEWSSTAND_SEED repeats it."""
    seed = int(os.environ.get("NEWSSTAND_SEED") or random.SystemRandom().randrange(10**9))
    print(f"NEWSSTAND_SEED={seed}")
    return random.Random(seed)
