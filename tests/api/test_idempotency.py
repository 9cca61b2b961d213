"""Repeated requests that move money cause one refund and get one response."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.db.engine.session import Sessions
from app.db.idempotency import HeldKey
from app.domain.errors import DomainError, StripeUnavailable
from app.domain.refunds import GuaranteeExpired
from app.services import idempotency
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused, StoredResponse
from tests.support.contexts import database_context

AGENT, ROUTE, KEY, BODY = "staff:robin", "POST /v1/support/refunds", "click-1", b'{"payment": "pi_1"}'


async def begin(
    sessions: Sessions,
    *,
    caller: str = AGENT,
    route: str = ROUTE,
    key: str = KEY,
    body: bytes = BODY,
    makes: str = "rfd_1",
    lease: timedelta = timedelta(seconds=30),
) -> HeldKey | StoredResponse:
    return await idempotency.begin(
        database_context(sessions), caller=caller, route=route, key=key, body=body, new_object_id=makes, lease=lease
    )


async def held(sessions: Sessions, *, makes: str = "rfd_1", lease: timedelta = timedelta(seconds=30)) -> HeldKey:
    begun = await begin(sessions, makes=makes, lease=lease)
    assert isinstance(begun, HeldKey)
    return begun


class Desk:
    """Issues refunds with one key, and records the ID of each attempt."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.worked_on: list[str] = []

    async def refund(self, makes: str, *, fails_with: Exception | None = None, body: bytes = BODY) -> StoredResponse:
        async def work(object_id: str) -> tuple[int, Mapping[str, object]]:
            self.worked_on.append(object_id)
            if fails_with is not None:
                raise fails_with
            return 201, {"id": object_id, "amount": {"currency": "usd", "amount": 4900}}

        return await idempotency.once(
            database_context(self.sessions),
            caller=AGENT,
            route=ROUTE,
            key=KEY,
            body=body,
            new_object_id=makes,
            work=work,
        )


@pytest.fixture
def desk(sessions: Sessions) -> Desk:
    return Desk(sessions)


async def test_a_repeated_request_gets_the_first_response(desk: Desk) -> None:
    first = await desk.refund("rfd_1")
    second = await desk.refund("rfd_2")
    assert (first.status, first.body["id"]) == (201, "rfd_1")
    assert (second.status, list(second.body.items())) == (201, list(first.body.items()))
    assert desk.worked_on == ["rfd_1"]


async def test_a_key_reused_with_another_body_is_rejected(desk: Desk) -> None:
    await desk.refund("rfd_1")
    with pytest.raises(KeyReused):
        await desk.refund("rfd_2", body=b'{"payment": "pi_2"}')
    assert (await desk.refund("rfd_3")).body["id"] == "rfd_1"


async def test_another_body_is_rejected_even_if_the_first_request_never_finished(sessions: Sessions) -> None:
    await held(sessions, lease=timedelta(0))
    with pytest.raises(KeyReused):
        await begin(sessions, body=b"{}")
    await held(sessions)
    with pytest.raises(KeyReused):
        await begin(sessions, body=b"{}")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"caller": "staff:sam"}, id="another caller"),
        pytest.param({"route": "POST /v1/support/refunds/rfd_9/approve"}, id="another route"),
        pytest.param({"key": "click-2"}, id="another key"),
    ],
)
async def test_a_key_belongs_to_one_caller_and_one_route(sessions: Sessions, other: dict[str, str]) -> None:
    await held(sessions)
    named = {"caller": AGENT, "route": ROUTE, "key": KEY} | other
    begun = await begin(sessions, caller=named["caller"], route=named["route"], key=named["key"], makes="rfd_2")
    assert isinstance(begun, HeldKey)
    assert begun.object_id == "rfd_2"


async def test_a_repeat_is_rejected_while_the_first_request_runs(sessions: Sessions) -> None:
    await held(sessions)
    with pytest.raises(KeyInUse):
        await begin(sessions)


async def test_exactly_one_of_many_concurrent_requests_takes_the_key(sessions: Sessions) -> None:
    answers = await asyncio.gather(*(begin(sessions, makes=f"rfd_{n}") for n in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, HeldKey) for answer in answers) == 1
    assert sum(isinstance(answer, KeyInUse) for answer in answers) == 7


async def test_a_repeat_takes_over_the_key_of_a_dead_request_after_its_lease(sessions: Sessions) -> None:
    await held(sessions, makes="rfd_first", lease=timedelta(0))
    heir = await held(sessions, makes="rfd_second")
    assert heir.taken_over
    assert heir.object_id == "rfd_first"


async def test_exactly_one_of_many_repeats_takes_over(sessions: Sessions) -> None:
    await held(sessions, lease=timedelta(0))
    answers = await asyncio.gather(*(begin(sessions, makes=f"rfd_{n}") for n in range(8)), return_exceptions=True)
    assert [answer.object_id for answer in answers if isinstance(answer, HeldKey)] == ["rfd_1"]


async def test_a_request_that_lost_its_key_neither_responds_nor_releases_it(sessions: Sessions) -> None:
    slow = await held(sessions, lease=timedelta(0))
    heir = await held(sessions)
    await idempotency.finish(database_context(sessions), slow, status=201, body={"by": "slow"})
    await idempotency.abandon(database_context(sessions), slow)
    await idempotency.end_lease(database_context(sessions), slow)
    with pytest.raises(KeyInUse):
        await begin(sessions)
    await idempotency.finish(database_context(sessions), heir, status=202, body={"by": "heir"})
    assert await begin(sessions) == StoredResponse(202, {"by": "heir"})


async def test_a_rejection_by_a_rule_releases_the_key(desk: Desk) -> None:
    with pytest.raises(GuaranteeExpired):
        await desk.refund("rfd_1", fails_with=GuaranteeExpired())
    assert (await desk.refund("rfd_2", body=b'{"other": 1}')).body["id"] == "rfd_2"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(StripeUnavailable(), id="Stripe did not answer"),
        pytest.param(RuntimeError("disk full"), id="unexpected"),
    ],
)
async def test_a_repeat_resumes_failed_work_under_the_same_id(desk: Desk, failure: Exception) -> None:
    with pytest.raises(type(failure)):
        await desk.refund("rfd_1", fails_with=failure)
    assert (await desk.refund("rfd_2")).body["id"] == "rfd_1"
    assert desk.worked_on == ["rfd_1", "rfd_1"]


async def test_a_rejected_repeat_of_a_dead_request_keeps_its_id(desk: Desk) -> None:
    for failure in (StripeUnavailable(), GuaranteeExpired()):
        with pytest.raises(DomainError):
            await desk.refund("rfd_1", fails_with=failure)
    await desk.refund("rfd_2")
    assert desk.worked_on == ["rfd_1", "rfd_1", "rfd_1"]


async def test_a_key_can_be_reused_after_a_day(desk: Desk) -> None:
    await desk.refund("rfd_1")
    await age(desk.sessions, "24 hours")
    assert (await desk.refund("rfd_2", body=b'{"other": 1}')).body["id"] == "rfd_2"


async def test_pruning_deletes_day_old_keys_except_running_ones(sessions: Sessions) -> None:
    await held(sessions)
    for key in ("old-1", "old-2"):
        begun = await begin(sessions, key=key)
        assert isinstance(begun, HeldKey)
        await idempotency.finish(database_context(sessions), begun, status=201, body={})
    await age(sessions, "25 hours")
    await begin(sessions, key="young")
    assert await idempotency.prune(database_context(sessions)) == 2
    with pytest.raises(KeyInUse):
        await begin(sessions)


async def age(sessions: Sessions, by: str) -> None:
    async with sessions.begin() as session:
        await session.execute(text(f"UPDATE idempotent_requests SET created_at = now() - interval '{by}'"))


@pytest.mark.parametrize("key", ["a", "!~", "x" * 255, "2f1c8a0e-5d0b-4a54-8f5a-0b1c2d3e4f50"])
def test_a_key_may_contain_any_visible_ascii(key: str) -> None:
    assert idempotency.check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("x" * 256, id="too long"),
        pytest.param("two words", id="space"),
        pytest.param("naïve", id="not ASCII"),
        pytest.param("a\x00b", id="control character"),
        pytest.param("\x7f", id="DEL character"),
    ],
)
def test_a_key_with_other_characters_is_rejected(key: str) -> None:
    with pytest.raises(KeyInvalid):
        idempotency.check_key(key)


@pytest.mark.parametrize("key", [None, ""])
def test_a_request_without_a_key_is_rejected(key: str | None) -> None:
    with pytest.raises(KeyRequired):
        idempotency.check_key(key)
