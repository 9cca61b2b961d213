"""
May this reader open this? Over a table of a million readers, and of five.

*Warm*: again and again about a thousand readers, whose tokens were verified before. *Cold*: about any of the million, none
of them twice, so that nothing is remembered but the caller.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from functools import partial

from bench import load, tokens
from bench.peers import REPLY
from bench.runner import Bench, Side
from bench.stage import Stage, reader

WARM = 1_000
MINTED = 10_000
ENOUGH = 40_000  # a second: more than any side takes


def _check(key: str, number: int) -> bytes:
    body = json.dumps({"subscriber": reader(number), "feature": "archive"}).encode()
    return load.request("/v1/entitlements/check", body, {"Authorization": f"Bearer {key}"})


def _warm_check(peer: str, stage: Stage) -> tuple[Side, Side]:
    service, beside = stage.service(), stage.peer(peer)
    drawn = random.Random(1).sample(range(stage.readers), min(WARM, stage.readers))
    asked = [_check(stage.api_key(), number) for number in drawn]
    answer = load.once(service, asked[0])
    if len(answer) != len(REPLY):
        raise load.BadAnswer(f"{answer!r} is not as long as what it is held against")

    def side(port: int) -> Side:
        return lambda seconds: stage.run(port, itertools.cycle(asked), seconds)

    return side(service), side(beside)


def _warm_gate(stage: Stage) -> tuple[Side, Side]:
    service, beside = stage.service(), stage.peer("bare_gate")
    drawn = random.Random(2).sample(range(stage.readers), min(MINTED, stage.readers))
    minted = [tokens.mint(stage.issuer(), reader(number)) for number in drawn]
    asked = [load.question("/v1/gate?feature=archive", {"Authorization": f"Bearer {token}"}) for token in minted]
    with stage.on_the_loads_core():
        load.run(service, iter(asked), load.PATIENCE)  # each token is verified once

    def side(port: int) -> Side:
        return lambda seconds: stage.run(port, itertools.cycle(asked[:WARM]), seconds)

    return side(service), side(beside)


def _cold(stage: Stage, port: int, key: str, readers: int) -> Side:
    """Ask about each reader once, in an order of its own, until all were asked about."""
    order = list(range(readers))
    random.Random(port).shuffle(order)
    coming = itertools.cycle(order)

    def questions(most: int) -> Iterator[bytes]:
        return (_check(key, number) for number in itertools.islice(coming, most))

    return lambda seconds: stage.run(port, list(questions(int(seconds * ENOUGH) + 1)), seconds)


def _cold_check(stage: Stage) -> tuple[Side, Side]:
    service = stage.service()
    beside = stage.peer("bare_read", BENCH_DATABASE_URL=stage.database())
    return tuple(_cold(stage, port, stage.api_key(), stage.readers) for port in (service, beside))  # type: ignore[return-value]


def _more_readers(stage: Stage) -> tuple[Side, Side]:
    database, readers = stage.larger_database()
    larger = _cold(stage, stage.service(database), stage.api_key(database), readers)
    return larger, _cold(stage, stage.service(), stage.api_key(), stage.readers)


def _warm(name: str, peer: str, what: str) -> Bench:
    sides: Callable[[Stage], tuple[Side, Side]] = partial(_warm_check, peer)
    return Bench(name=name, unit="requests/s", what=what, sides=sides)


BENCHES = (
    _warm("check_warm_vs_bare_asgi", "bare_asgi", "a check, warm, beside a bare ASGI reply"),
    _warm("check_warm_vs_fastapi", "bare_fastapi", "a check, warm, beside a bare FastAPI reply"),
    Bench(
        name="gate_warm_vs_bare_asgi",
        unit="requests/s",
        what="the gate, warm, beside a bare ASGI reply",
        sides=_warm_gate,
    ),
    Bench(
        name="check_cold_vs_asyncpg",
        unit="requests/s",
        what="a check, cold, beside a bare ASGI read of a row by its key",
        sides=_cold_check,
    ),
    Bench(
        name="check_5m_vs_1m",
        unit="us",
        what="a check, cold, among five million readers, beside one among one million",
        sides=_more_readers,
        time=True,
    ),
)
