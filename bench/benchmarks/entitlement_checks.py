"""
Entitlement checks and the gate, with a million readers in the database and with five million.

*Warm*: the same thousand readers again and again, with tokens that were verified before, so that the cache answers. *Cold*:
every reader at most once, so that only the caller's API key is cached.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from functools import partial

from bench import access_tokens, load_generator
from bench.baselines import REPLY
from bench.environment import Environment
from bench.runner import Benchmark, Side
from bench.seed_data import reader_sub

WARM_READERS = 1_000
TOKENS = 10_000
REQUESTS_PER_SECOND = 40_000  # prepared for each second of a run: more than any side handles


def _check(key: str, number: int) -> bytes:
    body = json.dumps({"subscriber": reader_sub(number), "feature": "archive"}).encode()
    return load_generator.post_request("/v1/entitlements/check", body, {"Authorization": f"Bearer {key}"})


def _warm_check(baseline: str, environment: Environment) -> tuple[Side, Side]:
    service, reference = environment.service(), environment.baseline(baseline)
    numbers = random.Random(1).sample(range(environment.readers), min(WARM_READERS, environment.readers))
    requests = [_check(environment.api_key(), number) for number in numbers]
    response = load_generator.send(service, requests[0])
    if len(response) != len(REPLY):
        raise load_generator.BadResponse(f"{response!r} is not as long as the baseline's reply")

    def side(port: int) -> Side:
        return lambda seconds: environment.run(port, itertools.cycle(requests), seconds)

    return side(service), side(reference)


def _warm_gate(environment: Environment) -> tuple[Side, Side]:
    service, reference = environment.service(), environment.baseline("bare_gate")
    numbers = random.Random(2).sample(range(environment.readers), min(TOKENS, environment.readers))
    tokens = [access_tokens.mint(environment.issuer(), reader_sub(number)) for number in numbers]
    requests = [
        load_generator.get_request("/v1/gate?feature=archive", {"Authorization": f"Bearer {token}"}) for token in tokens
    ]
    with environment.on_load_core():
        load_generator.run(service, iter(requests), load_generator.TIMEOUT)  # verifies each token once

    def side(port: int) -> Side:
        return lambda seconds: environment.run(port, itertools.cycle(requests[:WARM_READERS]), seconds)

    return side(service), side(reference)


def _cold(environment: Environment, port: int, key: str, readers: int) -> Side:
    """Return a side that checks each reader once, in random order, before it starts over."""
    order = list(range(readers))
    random.Random(port).shuffle(order)
    numbers = itertools.cycle(order)

    def requests(count: int) -> Iterator[bytes]:
        return (_check(key, number) for number in itertools.islice(numbers, count))

    return lambda seconds: environment.run(port, list(requests(int(seconds * REQUESTS_PER_SECOND) + 1)), seconds)


def _cold_check(environment: Environment) -> tuple[Side, Side]:
    service = environment.service()
    reference = environment.baseline("bare_read", BENCH_DATABASE_URL=environment.database())
    return tuple(_cold(environment, port, environment.api_key(), environment.readers) for port in (service, reference))  # type: ignore[return-value]


def _large_table(environment: Environment) -> tuple[Side, Side]:
    database, readers = environment.large_database()
    large = _cold(environment, environment.service(database), environment.api_key(database), readers)
    return large, _cold(environment, environment.service(), environment.api_key(), environment.readers)


def _warm(name: str, baseline: str, description: str) -> Benchmark:
    sides: Callable[[Environment], tuple[Side, Side]] = partial(_warm_check, baseline)
    return Benchmark(name=name, unit="requests/s", description=description, sides=sides)


BENCHMARKS = (
    _warm("check_warm_vs_bare_asgi", "bare_asgi", "a cached check, against a bare ASGI reply"),
    _warm("check_warm_vs_fastapi", "bare_fastapi", "a cached check, against a bare FastAPI reply"),
    Benchmark(
        name="gate_warm_vs_bare_asgi",
        unit="requests/s",
        description="a cached gate decision, against a bare ASGI reply",
        sides=_warm_gate,
    ),
    Benchmark(
        name="check_cold_vs_asyncpg",
        unit="requests/s",
        description="an uncached check, against selecting a row with asyncpg",
        sides=_cold_check,
    ),
    Benchmark(
        name="check_5m_vs_1m",
        unit="us",
        description="an uncached check among 5 million readers, against 1 million",
        sides=_large_table,
        figure="time",
    ),
)
