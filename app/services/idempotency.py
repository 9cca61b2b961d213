"""
Idempotent requests (``Idempotency-Key``): a repeated request gets the first response, and moves no money again.

The key is stored before the work begins, with the ID of the object that the work will create. If the first request ended
without a response, a repeated one takes over its key when the lease expires, and continues the work under the same ID. A
refusal by a rule is not stored, as at Stripe: nothing was done, so the key is free and the request can be tried again.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.context import DatabaseContext
from app.db import idempotency as rows
from app.db.idempotency import HeldKey
from app.domain.errors import Conflict, DomainError, Invalid, MalformedRequest, StripeUnavailable

RETENTION = timedelta(hours=24)
LEASE = timedelta(seconds=30)
MAX_KEY_LENGTH = 255


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
class StoredResponse:
    """The response to the first request. Its members are sorted, so that a repeated response has the same bytes."""

    status: int
    body: Mapping[str, object]

    @classmethod
    def of(cls, status: int, body: Mapping[str, object]) -> Self:
        """Return a response with sorted members. The database does not store their order."""
        return cls(status, json.loads(json.dumps(body, sort_keys=True)))


def check_key(key: str | None) -> str:
    """
    Return the key, if it is valid.

    :raises KeyRequired: there is no key.
    :raises KeyInvalid: it is too long, or has other characters than visible ASCII.
    """
    if not key:
        raise KeyRequired
    if len(key) > MAX_KEY_LENGTH or not all("!" <= character <= "~" for character in key):
        raise KeyInvalid
    return key


def request_hash(*, caller: str, route: str, key: str) -> str:
    """
    Return the hash of a request's identity, which is stored with the money that it moved, also at Stripe.

    It recognizes a repeated request after a backup was restored that has no record of the key.
    """
    return hashlib.sha256("\n".join((caller, route, key)).encode()).hexdigest()


async def begin(
    ctx: DatabaseContext,
    *,
    caller: str,
    route: str,
    key: str,
    body: bytes,
    new_object_id: str,
    lease: timedelta = LEASE,
) -> HeldKey | StoredResponse:
    """
    Claim the key, or return the stored response.

    :param caller: the actor, as in the audit log. Each caller has their own keys.
    :param route: the method and the path with its IDs, which are part of the request like its body.
    :param new_object_id: the ID of the object to create, unless an earlier attempt has chosen one.
    :raises KeyReused: the key was used with another body.
    :raises KeyInUse: the first request is still running.
    """
    body_hash = hashlib.sha256(body).hexdigest()
    name = rows.KeyName(caller, route, key)
    async with ctx.sessions.begin() as session:
        claimed = await rows.acquire(
            session, name, body_hash=body_hash, object_id=new_object_id, lease=lease, kept_for=RETENTION
        )
        if claimed is not None:
            return claimed
        known = await rows.find(session, name)
    if known is None:
        raise KeyInUse  # it was released between the two queries
    if known.body_hash != body_hash:
        raise KeyReused
    if known.status is None:
        raise KeyInUse
    return StoredResponse.of(known.status, known.answer or {})


async def finish(ctx: DatabaseContext, begun: HeldKey, *, status: int, body: Mapping[str, object]) -> None:
    """Store the response, unless another request has taken over the key."""
    async with ctx.sessions.begin() as session:
        await rows.answer(session, begun, status=status, body=body)


async def abandon(ctx: DatabaseContext, begun: HeldKey) -> None:
    """
    Release the key, because a rule refused the request and nothing was done.

    A key that was taken over keeps its object ID, because the first request may have done more.
    """
    async with ctx.sessions.begin() as session:
        if begun.taken_over:
            await rows.end_lease(session, begun)
        else:
            await rows.delete(session, begun)


async def end_lease(ctx: DatabaseContext, begun: HeldKey) -> None:
    """End the lease, because the work was interrupted: the next attempt can continue it immediately."""
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
) -> StoredResponse:
    """
    Run ``work`` once for a key, and return its response; or return the stored response.

    :param work: gets the ID of the object to create, and returns status and body. It must continue an interrupted attempt
        with the same ID.
    :raises KeyReused: the key was used with another body.
    :raises KeyInUse: the first request is still running.
    :raises DomainError: raised by ``work``. A refusal releases the key; if Stripe is unavailable, it keeps its object ID.
    """
    begun = await begin(ctx, caller=caller, route=route, key=key, body=body, new_object_id=new_object_id)
    if isinstance(begun, StoredResponse):
        return begun
    try:
        status, response = await work(begun.object_id)
    except StripeUnavailable:
        await end_lease(ctx, begun)
        raise
    except DomainError:
        await abandon(ctx, begun)
        raise
    except Exception:
        await end_lease(ctx, begun)
        raise
    await finish(ctx, begun, status=status, body=response)
    return StoredResponse.of(status, response)


async def once_if_keyed(
    ctx: DatabaseContext,
    *,
    caller: str,
    route: str,
    key: str | None,
    body: bytes,
    new_object_id: str,
    work: Callable[[str], Awaitable[tuple[int, Mapping[str, object]]]],
) -> StoredResponse:
    """
    Run ``work``, at most once for the key if there is one. For requests that move no money.

    :raises KeyInvalid: the key is too long, or has other characters than visible ASCII.
    :raises KeyReused: the key was used with another body.
    :raises KeyInUse: the first request is still running.
    :raises DomainError: raised by ``work``.
    """
    if key is None:
        return StoredResponse(*await work(new_object_id))
    return await once(
        ctx, caller=caller, route=route, key=check_key(key), body=body, new_object_id=new_object_id, work=work
    )


async def prune(ctx: DatabaseContext) -> int:
    """Delete keys after their retention period. Return how many there were."""
    async with ctx.sessions.begin() as session:
        return await rows.prune(session, kept_for=RETENTION)
