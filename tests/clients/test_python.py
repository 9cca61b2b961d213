"""The Python client, beside the running service."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from newsstand_edge import Edge, Unavailable

from tests.clients.conftest import Held, token_of
from tests.support.shop import free_socket


@dataclass
class Request:
    """Any framework's request."""

    headers: dict[str, str] = field(default_factory=dict)


def carrying(token: str) -> Request:
    return Request({"cookie": f'a="b; odd=[]; newsstand_entitlements={token}; z=1'})


class Wound:
    """The edge's own clock, ahead or behind."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Wound:
    return Wound()


@pytest.fixture
def edge(held: Held, clock: Wound) -> Iterator[Edge]:
    opened = Edge(held.shop.url, api_key=held.shop.server_key, clock=clock)
    yield opened
    opened.close()


async def test_a_token_opens_what_was_bought_and_nothing_else(held: Held, edge: Edge, clock: Wound) -> None:
    await asyncio.to_thread(edge.feeds.fetch_keys)

    for _ in range(2):  # the second time it is remembered
        answer = edge.may(carrying(held.token), "archive")
        assert answer
        assert (answer.reason, answer.subscriber) == ("entitled", held.reader.sub)
        assert answer.until is not None
        assert edge.may(Request({"authorization": f"bearer {held.token}"}), "archive")
        assert edge.may(carrying(held.token), "print_edition").reason == "not_entitled"
        assert edge.may(carrying(held.token), "no_such_feature").reason == "not_entitled"
    assert edge.may(Request(), "archive").reason == "no_token"
    assert edge.may(Request({"cookie": "newsstand_entitlements="}), "archive").reason == "no_token"

    for name, (token, reason) in held.forged.items():
        answer = edge.may_token(token, "archive")
        assert (answer.allowed, answer.reason) == (False, reason), name
    refused = Counter(reason for _, reason in held.forged.values()) | Counter({"no_token": 2, "not_entitled": 4})
    assert {reason: edge.counted[reason] for reason in refused} == refused
    for other in (Edge(held.shop.url, issuer="another"), Edge(held.shop.url, audience="another")):
        await asyncio.to_thread(other.feeds.fetch_keys)
        assert other.may_token(held.token, "archive").reason == "token_invalid"

    clock.ahead = -3600
    assert edge.may_token(held.token, "archive").reason == "token_not_yet_valid"
    clock.ahead = 3700  # no token lives longer than an hour
    assert edge.may_token(held.token, "archive").reason == "token_expired"


async def test_a_reader_who_is_refused_by_the_service_is_refused_at_the_edge_before_their_token_dies(
    held: Held, edge: Edge
) -> None:
    await asyncio.to_thread(edge.start)
    assert edge.may_token(held.token, "archive")

    gone = await held.shop.post("/v1/me/subscription/cancel", held.reader, {"when": "now"})
    assert gone.status_code == 200, gone.text

    async with asyncio.timeout(30):
        while edge.may_token(held.token, "archive"):
            await asyncio.sleep(0.02)
    assert edge.may_token(held.token, "archive").reason == "token_revoked"
    assert edge.may_token(await token_of(held.shop, held.reader), "archive").reason == "not_entitled"


async def test_without_newsstand_nothing_opens_and_nothing_breaks() -> None:
    bound = free_socket()
    alone = Edge(f"http://127.0.0.1:{bound.getsockname()[1]}")
    bound.close()

    with pytest.raises(Unavailable):
        await asyncio.to_thread(alone.start)

    assert alone.may_token("a.b.c", "archive").reason == "token_invalid"
    alone.close()
