"""Repeatable randomness: each decision depends only on a seed and the decision's name."""

import random


def random_for(seed: int, *what: object) -> random.Random:
    """Return the generator for one decision. The same seed and name give the same numbers."""
    return random.Random(":".join(map(str, (seed, *what))))  # noqa: S311 - repeatable, not secret


def new_seed() -> int:
    """Return a random seed that is short enough to type."""
    return random.SystemRandom().randrange(1, 1_000_000)
