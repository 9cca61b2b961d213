"""Chance that can be had again: every draw follows from a seed and the name of what it decides."""

import random


def random_for(seed: int, *what: object) -> random.Random:
    """Return the chance of one decision; the same seed and the same name draw the same, whatever else was drawn."""
    return random.Random(":".join(map(str, (seed, *what))))  # noqa: S311 - to be repeated, not to be secret


def new_seed() -> int:
    """Return a seed that nobody chose, short enough to be typed again."""
    return random.SystemRandom().randrange(1, 1_000_000)
