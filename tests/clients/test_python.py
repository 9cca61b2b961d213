"""The Python client against a running service."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from newsstand_edge import ApiKeyRefused, Edge, Unavailable

from tests.clients.conftest import EntitledReader, entitlement_token
from tests.support.shop import free_socket
from tests.support.timeouts import TIMEOUT


@dataclass
class Request:
    """A request, as in any framework."""

    headers: dict[str, str] = field(default_factory=dict)


def request_with(token: str) -> Request:
    return Request({"cookie": f'a="b; odd=[]; newsstand_entitlements={token}; z=1'})


class OffsetClock:
    """A clock that is ahead or behind."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def clock() -> OffsetClock:
    return OffsetClock()


@pytest.fixture
def edge(entitled_reader: EntitledReader, clock: OffsetClock) -> Iterator[Edge]:
    running = Edge(entitled_reader.shop.url, api_key=entitled_reader.shop.server_key, clock=clock)
    yield running
    running.close()


async def test_valid_token_grants_its_features_and_nothing_else(
    entitled_reader: EntitledReader, edge: Edge, clock: OffsetClock
) -> None:
    await asyncio.to_thread(edge.feeds.fetch_keys)

    for _ in range(2):  # the second check uses the cache
        answer = edge.may(request_with(entitled_reader.token), "archive")
        assert answer
        assert (answer.reason, answer.subscriber) == ("entitled", entitled_reader.person.sub)
        assert answer.until is not None
        assert edge.may(Request({"authorization": f"bearer {entitled_reader.token}"}), "archive")
        assert edge.may(request_with(entitled_reader.token), "print_edition").reason == "not_entitled"
    assert edge.may(Request(), "archive").reason == "no_token"
    assert edge.may(Request({"cookie": "newsstand_entitlements="}), "archive").reason == "no_token"

    for name, (token, reason) in entitled_reader.forged_tokens.items():
        answer = edge.may_token(token, "archive")
        assert (answer.allowed, answer.reason) == (False, reason), name
    expected = Counter(reason for _, reason in entitled_reader.forged_tokens.values()) | Counter(
        {"no_token": 2, "not_entitled": 2}
    )
    assert {reason: edge.counts[reason] for reason in expected} == expected
    for other in (Edge(entitled_reader.shop.url, issuer="another"), Edge(entitled_reader.shop.url, audience="another")):
        await asyncio.to_thread(other.feeds.fetch_keys)
        assert other.may_token(entitled_reader.token, "archive").reason == "token_invalid"

    clock.offset = -3600
    assert edge.may_token(entitled_reader.token, "archive").reason == "token_not_yet_valid"
    clock.offset = 3700  # tokens are valid for an hour at most
    assert edge.may_token(entitled_reader.token, "archive").reason == "token_expired"


async def test_revoked_token_is_rejected_before_it_expires(entitled_reader: EntitledReader, edge: Edge) -> None:
    await asyncio.to_thread(edge.start)
    assert edge.may_token(entitled_reader.token, "archive")

    canceled = await entitled_reader.shop.post("/v1/me/subscription/cancel", entitled_reader.person, {"when": "now"})
    assert canceled.status_code == 200, canceled.text

    async with asyncio.timeout(TIMEOUT):
        while edge.may_token(entitled_reader.token, "archive"):
            await asyncio.sleep(0.02)
    assert edge.may_token(entitled_reader.token, "archive").reason == "token_revoked"
    assert (
        edge.may_token(await entitlement_token(entitled_reader.shop, entitled_reader.person), "archive").reason
        == "not_entitled"
    )


async def test_wrong_api_key_is_reported_at_the_start(entitled_reader: EntitledReader) -> None:
    wrong = Edge(entitled_reader.shop.url, api_key=f"{entitled_reader.shop.server_key[:-6]}000000")

    with pytest.raises(ApiKeyRefused, match="entitlements:read"):
        await asyncio.to_thread(wrong.start)

    assert not wrong.feeds._threads, "it doesn't run without revocations"


@pytest.mark.parametrize("key", ["", " \n", "nsk secret", "nsk_schlüssel", "nsk\x00secret"])
def test_an_empty_or_impossible_api_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as refused:
        Edge("https://newsstand.example.com", api_key=key)
    assert not key.strip() or key not in str(refused.value)


async def test_a_key_from_a_file_is_trimmed_and_a_missing_one_is_reported(
    entitled_reader: EntitledReader, caplog: pytest.LogCaptureFixture
) -> None:
    followed = Edge(entitled_reader.shop.url, api_key=f"{entitled_reader.shop.server_key}\n")
    await asyncio.to_thread(followed.start)
    followed.close()
    assert caplog.records == []
    without = Edge(entitled_reader.shop.url, api_key=None)
    await asyncio.to_thread(without.start)
    without.close()
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["there is no API key"]


async def test_unknown_feature_is_reported_once(
    entitled_reader: EntitledReader, edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    request = request_with(entitled_reader.token)
    assert edge.may(request, "archiv").reason == "token_unknown_key", "nothing is known yet"
    await asyncio.to_thread(edge.feeds.fetch_keys)

    for _ in range(2):
        answer = edge.may(request, "archiv")
        assert (answer.allowed, answer.reason) == (False, "unknown_feature")
    assert edge.may(Request(), "audiobooks").reason == "no_token"

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [message.split("'")[1] for message in errors] == ["archiv", "audiobooks"]
    assert "archive" in errors[0]


async def test_client_grants_nothing_while_newsstand_is_unreachable() -> None:
    bound = free_socket()
    disconnected = Edge(f"http://127.0.0.1:{bound.getsockname()[1]}")

    with pytest.raises(Unavailable):
        await asyncio.to_thread(disconnected.start)

    assert disconnected.may_token("a.b.c", "archive").reason == "token_invalid"
    disconnected.close()
    bound.close()
