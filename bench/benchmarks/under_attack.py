"""
Entitlement checks while hostile clients are at work: 200 slow connections and 50 hostile requests a second.

Both sides are the service, with the same few clients that check one after the other: with the attackers, and without them.
"""

import itertools

from bench import attackers, load_generator
from bench.environment import Environment
from bench.runner import Benchmark, Side


def _sides(environment: Environment) -> tuple[Side, Side]:
    port, key = environment.service(), environment.api_key()
    check = load_generator.post_request(
        "/v1/entitlements/check", b'{"subscriber":"a","feature":"archive"}', {"Authorization": f"Bearer {key}"}
    )

    def quiet(seconds: float) -> load_generator.Run:
        return environment.run(port, itertools.repeat(check), seconds, connections=attackers.CONNECTIONS)

    def attacked(seconds: float) -> load_generator.Run:
        with environment.attackers(port, seconds):
            return quiet(seconds)

    return attacked, quiet


BENCHMARKS = (
    Benchmark(
        name="check_p99_under_attack",
        unit="us",
        description="the 99th percentile of a check under attack, against a quiet service; at most 5",
        sides=_sides,
        figure="p99",
    ),
)
