"""How long tests wait for a condition: far longer than a busy machine needs, so that only a hang ends a wait."""

TIMEOUT = 120.0  # seconds
