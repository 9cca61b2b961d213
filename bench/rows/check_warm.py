"""May this reader use this feature? Asked again and again about a thousand readers, by a server with a key."""

import itertools
import json
import random
from collections.abc import Callable
from functools import partial

from bench import load
from bench.peers import REPLY
from bench.runner import Bench, Side
from bench.stage import READERS, Stage, reader

WARM = 1_000


def _sides(peer: str, stage: Stage) -> tuple[Side, Side]:
    service, beside = stage.service(), stage.peer(peer)
    headers = {"Authorization": f"Bearer {stage.api_key()}"}
    drawn = random.Random(1).sample(range(READERS), WARM)
    bodies = (json.dumps({"subscriber": reader(number), "feature": "archive"}).encode() for number in drawn)
    asked = [load.request("/v1/entitlements/check", body, headers) for body in bodies]
    answer = load.once(service, asked[0])
    if len(answer) != len(REPLY):
        raise load.BadAnswer(f"{answer!r} is not as long as what it is held against")

    def side(port: int) -> Side:
        return lambda seconds: stage.run(port, itertools.cycle(asked), seconds)

    return side(service), side(beside)


def _bench(name: str, peer: str, what: str) -> Bench:
    sides: Callable[[Stage], tuple[Side, Side]] = partial(_sides, peer)
    return Bench(name=name, unit="requests/s", what=what, sides=sides)


BENCHES = (
    _bench("check_warm_vs_bare_asgi", "bare_asgi", "an entitlement check, beside a bare ASGI reply"),
    _bench("check_warm_vs_fastapi", "bare_fastapi", "an entitlement check, beside a bare FastAPI reply"),
)
