"""The wait before failed work is tried again: exponential, with jitter."""

from datetime import timedelta

FIRST_DELAY = timedelta(seconds=2)
MAX_DELAY = timedelta(minutes=15)
MAX_OUTAGE_DELAY = timedelta(seconds=30)  # while a service that the work needs is unavailable


def retry_delay(attempts: int, *, jitter: float, outage: bool = False) -> timedelta:
    """
    Return how long to wait after the given number of attempts. It doubles with each one, up to a maximum.

    :param jitter: from 0 to 1, chosen at random: which part of the second half of the delay is used.
    :param outage: the attempt failed because another service was unavailable, so that the work may soon be done.
    """
    longest = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), MAX_DELAY)
    delay = timedelta(seconds=longest.total_seconds() * (0.5 + 0.5 * jitter))
    return min(delay, MAX_OUTAGE_DELAY) if outage else delay
