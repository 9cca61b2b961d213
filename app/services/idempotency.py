"""
Requests that move money, repeated without doing it twice (``Idempotency-Key``).

The key is taken before the work, together with the id of the object that the work will make. Whoever repeats the request
gets the first answer; if the first died, its key is taken over when its lease ends, and the same work goes on under the
same id. A refusal by a rule is no answer to keep, as with Stripe: nothing was done, so the key is free again, and the same
request may be tried when the reason is gone.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.context import DatabaseContext
from app.db import idempotency as rows
from app.db.idempotency import Begun
from app.domain.errors import Conflict, DomainError, Invalid, MalformedRequest, StripeUnavailable

KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=30)
LONGEST_KEY = 255


class KeyRequired(MalformedRequest):
    """This request moves money, so it requires an Idempotency-Key header with a new value for each operation."""

    code = "idempotency_key_required"
    title = "Idempotency-Key header required"


class KeyInvalid(MalformedRequest):
    """The Idempotency-Key header must have 1 to 255 visible ASCII characters."""

    code = "idempotency_key_invalid"
    title = "Invalid Idempotency-Key header"


class KeyReused(Invalid):
    """This Idempotency-Key was already used for a different request."""

    code = "idempotency_key_reused"
    title = "Idempotency key reused for a different request"


class KeyInUse(Conflict):
    """The first request with this Idempotency-Key is still running. Try again to get its response."""

    code = "idempotency_key_in_use"
    title = "Request with this idempotency key in progress"
    retry_after = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was answered, and every repeat is, to the byte: so members are in order of their names."""

    status: int
    body: Mapping[str, object]

    @classmethod
    def of(cls, status: int, body: Mapping[str, object]) -> Self:
        """Return an answer in that order: the database keeps none."""
        return cls(status, json.loads(json.dumps(body, sort_keys=True)))


def check_key(key: str | None) -> str:
    """
    Return a key that can be used.

    :raises KeyRequired: there is none.
    :raises KeyInvalid: it is too long, or not visible ASCII.
    """
    if not key:
        raise KeyRequired
    if len(key) > LONGEST_KEY or not all("!" <= character <= "~" for character in key):
        raise KeyInvalid
    return key


async def begin(
    ctx: DatabaseContext,
    *,
    caller: str,
    route: str,
    key: str,
    body: bytes,
    new_object_id: str,
    lease: timedelta = LEASE,
) -> Begun | Answer:
    """
    Take the key, or say what came of it before.

    :param caller: as the audit log calls them: keys of one caller are nothing to another.
    :param route: method and path as called, with the ids in it: the path says what is meant as much as the body does.
    :param new_object_id: the id of what the work will make, used unless an earlier try of the same request chose one.
    :raises KeyReused: the key came with another body before.
    :raises KeyInUse: the first request is still running.
    """
    hashed = hashlib.sha256(body).hexdigest()
    name = rows.Name(caller, route, key)
    async with ctx.sessions.begin() as session:
        taken = await rows.take(
            session, name, body_hash=hashed, object_id=new_object_id, lease=lease, kept_for=KEPT_FOR
        )
        if taken is not None:
            return taken
        known = await rows.find(session, name)
    if known is None:
        raise KeyInUse  # it was given back between the two questions
    if known.body_hash != hashed:
        raise KeyReused
    if known.status is None:
        raise KeyInUse
    return Answer.of(known.status, known.answer or {})


async def finish(ctx: DatabaseContext, begun: Begun, *, status: int, body: Mapping[str, object]) -> None:
    """Keep the answer for whoever repeats the request. If another has taken over meanwhile, theirs is kept."""
    async with ctx.sessions.begin() as session:
        await rows.answer(session, begun, status=status, body=body)


async def abandon(ctx: DatabaseContext, begun: Begun) -> None:
    """
    Free the key: a rule refused the request before anything happened.

    A key that was taken over from a dead request keeps its object, since that request may have got further.
    """
    async with ctx.sessions.begin() as session:
        if begun.taken_over:
            await rows.end_lease(session, begun)
        else:
            await rows.delete(session, begun)


async def let_go(ctx: DatabaseContext, begun: Begun) -> None:
    """End the lease now: the work broke off half-way, and the next try shall go on with it at once."""
    async with ctx.sessions.begin() as session:
        await rows.end_lease(session, begun)


async def once(
    ctx: DatabaseContext,
    *,
    caller: str,
    route: str,
    key: str,
    body: bytes,
    new_object_id: str,
    work: Callable[[str], Awaitable[tuple[int, Mapping[str, object]]]],
) -> Answer:
    """
    Do ``work`` once for a key, and return its answer, or the first answer when it was done before.

    :param work: gets the id of the object to make; it must go on where an earlier try with that id broke off.
    :raises KeyReused: the key came with another body before.
    :raises KeyInUse: the first request is still running.
    :raises DomainError: what ``work`` raised. A refusal frees the key; when Stripe is away it is kept, with its object.
    """
    begun = await begin(ctx, caller=caller, route=route, key=key, body=body, new_object_id=new_object_id)
    if isinstance(begun, Answer):
        return begun
    try:
        status, answer = await work(begun.object_id)
    except StripeUnavailable:
        await let_go(ctx, begun)
        raise
    except DomainError:
        await abandon(ctx, begun)
        raise
    except Exception:
        await let_go(ctx, begun)
        raise
    await finish(ctx, begun, status=status, body=answer)
    return Answer.of(status, answer)


async def prune(ctx: DatabaseContext) -> int:
    """Forget keys after their day. Returns how many there were."""
    async with ctx.sessions.begin() as session:
        return await rows.prune(session, kept_for=KEPT_FOR)
