"""Webhook endpoints: added, changed and deleted by administrators. A secret is shown once, when it is made."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.context import DatabaseContext
from app.db import anomalies, audit, webhook_endpoints
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.domain.anomalies import WEBHOOK_ENDPOINT_DISABLED
from app.domain.errors import NotFound
from app.domain.webhook_endpoints import (
    DEFAULT_OVERLAP,
    MOST_ENDPOINTS,
    NEW_SECRET_BYTES,
    TooManyEndpoints,
    WebhookEndpoint,
    check_overlap,
    check_secret,
    check_url,
    checked_types,
    compose_secret,
)
from app.encryption import Cipher, webhook_secret_cipher


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint and its new secret, which can't be shown again."""

    endpoint: WebhookEndpoint
    secret: str


async def add(
    ctx: DatabaseContext,
    *,
    name: str,
    url: str,
    types: Sequence[str],
    by: str,
    secret: str | None = None,
) -> NewSecret:
    """
    Add an endpoint. It gets the events from now on.

    :param types: that it gets; empty: all.
    :param secret: one that the receiver has already; None: a new one.
    :raises InvalidEndpointUrl: nothing can be sent there.
    :raises PrivateAddress: its address is not public, and the settings don't allow it.
    :raises UnknownEventType: there is no such type.
    :raises InvalidSecret: the secret is too short, for example.
    :raises TooManyEndpoints: the limit is reached.
    """
    check_url(url, allowed=ctx.settings.webhook_networks)
    wanted = checked_types(types)
    made = secret if secret is not None else compose_secret(secrets.token_bytes(NEW_SECRET_BYTES))
    check_secret(made)
    async with ctx.sessions.begin() as session:
        await webhook_endpoints.lock_list(session)
        if len(await webhook_endpoints.list_all(session)) >= MOST_ENDPOINTS:
            raise TooManyEndpoints(f"There can be {MOST_ENDPOINTS} endpoints", most=MOST_ENDPOINTS)
        encrypted_secret = _cipher(ctx).encrypt(made)
        endpoint = await webhook_endpoints.add(
            session, new_id("whe"), name=name, url=url, types=wanted, encrypted_secret=encrypted_secret, by=by
        )
        await _record(session, endpoint, "created", by=by, after={"url": url, "types": wanted})
    return NewSecret(endpoint, made)


async def list_all(ctx: DatabaseContext) -> list[WebhookEndpoint]:
    """Return all endpoints, the oldest first."""
    async with ctx.sessions.begin() as session:
        return await webhook_endpoints.list_all(session)


async def get(ctx: DatabaseContext, endpoint_id: str) -> WebhookEndpoint:
    """
    Return an endpoint.

    :raises NotFound: there is no such endpoint.
    """
    async with ctx.sessions.begin() as session:
        found = await webhook_endpoints.by_id(session, endpoint_id)
    if found is None:
        raise NotFound("No such webhook endpoint")
    return found


async def rotate(ctx: DatabaseContext, endpoint_id: str, *, by: str, overlap: timedelta = DEFAULT_OVERLAP) -> NewSecret:
    """
    Replace the secret of an endpoint. Both sign during the overlap.

    :raises NotFound: there is no such endpoint.
    :raises InvalidOverlap: the overlap is too long.
    """
    check_overlap(overlap)
    made = compose_secret(secrets.token_bytes(NEW_SECRET_BYTES))
    async with ctx.sessions.begin() as session:
        await _lock(session, endpoint_id)
        await webhook_endpoints.rotate(
            session, endpoint_id, encrypted_secret=_cipher(ctx).encrypt(made), overlap=overlap
        )
        endpoint = await _lock(session, endpoint_id)
        await _record(session, endpoint, "rotated", by=by, after={"overlap_seconds": int(overlap.total_seconds())})
    return NewSecret(endpoint, made)


async def disable(ctx: DatabaseContext, endpoint_id: str, *, by: str) -> WebhookEndpoint:
    """
    Stop sending events to an endpoint. A repeated call has no further effect.

    :raises NotFound: there is no such endpoint.
    """
    async with ctx.sessions.begin() as session:
        endpoint = await _lock(session, endpoint_id)
        if endpoint.is_enabled:
            await webhook_endpoints.disable(session, endpoint_id)
            await _record(session, endpoint, "disabled", by=by)
        return await _lock(session, endpoint_id)


async def enable(ctx: DatabaseContext, endpoint_id: str, *, by: str) -> WebhookEndpoint:
    """
    Send events to an endpoint again: those from now on, and those that were pending. A repeated call has no further effect.

    Those that happened while it was disabled can be replayed.

    :raises NotFound: there is no such endpoint.
    """
    async with ctx.sessions.begin() as session:
        lanes = await webhook_endpoints.lock_lanes(session, endpoint_id)
        endpoint = await _lock(session, endpoint_id)
        if not endpoint.is_enabled:
            await webhook_endpoints.enable(session, endpoint_id, lanes=lanes)
            await anomalies.report(session, endpoint_id, {}, subscriber_id=None, among=[WEBHOOK_ENDPOINT_DISABLED])
            await _record(session, endpoint, "enabled", by=by)
            await leases.notify(session, "webhook_lanes")
        return await _lock(session, endpoint_id)


async def remove(ctx: DatabaseContext, endpoint_id: str, *, by: str) -> None:
    """
    Delete an endpoint. What is pending for it is canceled.

    :raises NotFound: there is no such endpoint.
    """
    while not await _remove(ctx, endpoint_id, by=by):
        pass  # an event was queued at the same moment: its lane is locked before the endpoint, as all are


async def _remove(ctx: DatabaseContext, endpoint_id: str, *, by: str) -> bool:
    """Delete an endpoint. Return False if it got lanes that are not locked; then nothing was changed."""
    async with ctx.sessions.begin() as session:
        lanes = await webhook_endpoints.lock_lanes(session, endpoint_id)
        endpoint = await _lock(session, endpoint_id)
        if await webhook_endpoints.has_more_lanes(session, endpoint_id, lanes=lanes):
            return False
        await webhook_endpoints.remove(session, endpoint_id, lanes=lanes)
        await anomalies.report(session, endpoint_id, {}, subscriber_id=None, among=[WEBHOOK_ENDPOINT_DISABLED])
        await _record(session, endpoint, "deleted", by=by, before={"url": endpoint.url})
    return True


def _cipher(ctx: DatabaseContext) -> Cipher:
    return webhook_secret_cipher(ctx.settings.token_secrets, ctx.settings.data_dir)


async def _lock(session: Session, endpoint_id: str) -> WebhookEndpoint:
    found = await webhook_endpoints.lock(session, endpoint_id)
    if found is None:
        raise NotFound("No such webhook endpoint")
    return found


async def _record(
    session: Session,
    endpoint: WebhookEndpoint,
    what: str,
    *,
    by: str,
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
) -> None:
    await audit.record(
        session,
        actor=by,
        action=f"webhook_endpoint.{what}",
        object_id=endpoint.id,
        before=before,
        after=after,
    )
