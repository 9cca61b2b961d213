"""Webhook endpoints, with their encrypted secrets."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, any_, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT
from sqlalchemy.orm import InstrumentedAttribute

from app.db.engine.session import Session
from app.db.models import WebhookDelivery, WebhookLane
from app.db.models import WebhookEndpoint as Row
from app.domain.webhook_deliveries import DeliveryStatus
from app.domain.webhook_endpoints import (
    APART,
    DISABLED_AFTER,
    LONGEST_REST,
    REST_SHARE,
    DisabledReason,
    WebhookEndpoint,
)

_DISABLE_FAILING = (
    text(
        """
        UPDATE webhook_endpoints
        SET disabled_at = now(), disabled_reason = CASE WHEN id = ANY(:gone) THEN :as_gone ELSE :as_failing END
        WHERE id = ANY(:failed) AND disabled_at IS NULL AND (id = ANY(:gone) OR failing_since < now() - :after)
        RETURNING id, name, disabled_reason
        """
    )
    .bindparams(
        bindparam("gone", type_=ARRAY(TEXT)), bindparam("failed", type_=ARRAY(TEXT)), bindparam("after", type_=INTERVAL)
    )
    .bindparams(as_gone=DisabledReason.GONE, as_failing=DisabledReason.FAILING, after=DISABLED_AFTER)
)
_RECORD_FAILURES = text(
    """
    UPDATE webhook_endpoints
    SET failing_since = since, last_failed_at = now(), resting_until = CASE WHEN since = now() THEN resting_until
        ELSE greatest(resting_until, now() + least((now() - since) / :share, :longest)) END
    FROM (
        SELECT id AS failed, CASE WHEN last_failed_at > now() - :apart THEN failing_since ELSE now() END AS since
        FROM webhook_endpoints WHERE id = ANY(:failed)
    ) known WHERE id = failed
    """
).bindparams(
    bindparam("failed", type_=ARRAY(TEXT)), bindparam("share", type_=Integer), bindparam("longest", type_=INTERVAL),
    bindparam("apart", APART, type_=INTERVAL),
)  # fmt: skip
_REST = text(
    """
    UPDATE webhook_endpoints SET resting_until = greatest(resting_until, now() + wait)
    FROM unnest(:endpoints, :waits) AS asked (id, wait) WHERE webhook_endpoints.id = asked.id
    """
).bindparams(bindparam("endpoints", type_=ARRAY(TEXT)), bindparam("waits", type_=ARRAY(INTERVAL)))
_LOCK_CHANGED = text(
    """
    SELECT id FROM webhook_endpoints
    WHERE id = ANY(:changed) OR id = ANY(:succeeded) AND failing_since IS NOT NULL ORDER BY id FOR NO KEY UPDATE
    """
).bindparams(bindparam("changed", type_=ARRAY(TEXT)), bindparam("succeeded", type_=ARRAY(TEXT)))
_LOCK_LIST = "SELECT pg_advisory_xact_lock(hashtext('webhook_endpoints'))"


async def lock_list(session: Session) -> None:
    """Let one transaction at a time add an endpoint, so that they can be counted."""
    await session.execute(text(_LOCK_LIST))


async def add(
    session: Session, endpoint_id: str, *, name: str, url: str, types: Sequence[str], encrypted_secret: str, by: str
) -> WebhookEndpoint:
    """Add an endpoint with its encrypted secret."""
    row = Row(id=endpoint_id, name=name, url=url, types=list(types), encrypted_secret=encrypted_secret, created_by=by)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return _endpoint(row)


async def list_all(session: Session) -> list[WebhookEndpoint]:
    """Return all endpoints, the oldest first."""
    return [_endpoint(row) for row in await session.scalars(select(Row).order_by(Row.created_at, Row.id))]


async def by_id(session: Session, endpoint_id: str) -> WebhookEndpoint | None:
    """Return an endpoint."""
    row = await session.get(Row, endpoint_id, populate_existing=True)
    return _endpoint(row) if row is not None else None


async def lock(session: Session, endpoint_id: str) -> WebhookEndpoint | None:
    """
    Return an endpoint, locked.

    Who changes its lanes too has locked them with :func:`lock_lanes` before.
    """
    row = await session.get(Row, endpoint_id, populate_existing=True, with_for_update=True)
    return _endpoint(row) if row is not None else None


async def lock_lanes(session: Session, endpoint_id: str) -> list[str]:
    """Lock the lanes of an endpoint before the endpoint, as everybody does, and return their IDs."""
    query = select(WebhookLane.id).where(WebhookLane.endpoint_id == endpoint_id)
    return list(await session.scalars(query.order_by(WebhookLane.id).with_for_update()))


async def has_more_lanes(session: Session, endpoint_id: str, *, lanes: Sequence[str]) -> bool:
    """Return whether a locked endpoint has got lanes since its lanes were locked. From now on it gets no more."""
    query = select(WebhookLane.id).where(WebhookLane.endpoint_id == endpoint_id)
    return not set(await session.scalars(query)) <= set(lanes)


async def rotate(session: Session, endpoint_id: str, *, encrypted_secret: str, overlap: timedelta) -> None:
    """Replace the secret of an endpoint. Requests are signed with both during the overlap."""
    values: dict[str, Any] = {
        "encrypted_secret": encrypted_secret,
        "previous_encrypted_secret": None,
        "previous_secret_expires_at": None,
    }
    if overlap:
        until = func.now() + bindparam(None, overlap, type_=INTERVAL)
        values |= {"previous_encrypted_secret": Row.encrypted_secret, "previous_secret_expires_at": until}
    await session.execute(update(Row).where(Row.id == endpoint_id).values(values))


async def disable(session: Session, endpoint_id: str) -> None:
    """Disable an endpoint, because staff did."""
    await session.execute(
        update(Row).where(Row.id == endpoint_id).values(disabled_at=func.now(), disabled_reason=DisabledReason.STAFF)
    )


async def enable(session: Session, endpoint_id: str, *, lanes: Sequence[str]) -> None:
    """
    Enable an endpoint. What is pending for it is sent at once.

    :param lanes: of the endpoint, locked.
    """
    values = dict.fromkeys(("disabled_at", "disabled_reason", "failing_since", "last_failed_at", "resting_until"))
    await session.execute(update(Row).where(Row.id == endpoint_id).values(values))
    await session.execute(
        update(WebhookLane)
        .where(_is_any(WebhookLane.id, lanes), WebhookLane.due_at > func.now())
        .values(due_at=func.now(), attempts=0)
    )


async def remove(session: Session, endpoint_id: str, *, lanes: Sequence[str]) -> None:
    """
    Delete an endpoint. Its pending deliveries are canceled; the log of its deliveries stays as long as it is kept.

    :param lanes: of the endpoint, locked.
    """
    await session.execute(
        update(WebhookDelivery)
        .where(_is_any(WebhookDelivery.lane, lanes), WebhookDelivery.status == DeliveryStatus.PENDING)
        .values(status=DeliveryStatus.CANCELED, finished_at=func.now())
    )
    await session.execute(delete(WebhookLane).where(_is_any(WebhookLane.id, lanes)))
    await session.execute(delete(Row).where(Row.id == endpoint_id))


async def record_results(
    session: Session,
    *,
    succeeded: Sequence[str],
    failed: Sequence[str],
    gone: Sequence[str],
    waits: Mapping[str, timedelta],
) -> list[WebhookEndpoint]:
    """
    Record which endpoints received something, and which didn't. Those that keep failing rest between attempts.

    :param waits: for how long an endpoint gets nothing, because its receiver asked for that.
    :returns: those that are disabled now, because they are gone, or because nothing has succeeded for days.
    """
    # All at once and in their order: another worker records the same endpoints, with other results.
    changed = await session.scalars(_LOCK_CHANGED, {"changed": [*failed, *waits], "succeeded": list(succeeded)})
    if not changed.all():
        return []
    if succeeded:
        await session.execute(
            update(Row)
            .where(Row.id.in_(succeeded), Row.failing_since.is_not(None))
            .values(failing_since=None, last_failed_at=None)
        )
    if waits:
        await session.execute(_REST, {"endpoints": sorted(waits), "waits": [waits[one] for one in sorted(waits)]})
    if not failed:
        return []
    await session.execute(_RECORD_FAILURES, {"failed": list(failed), "share": REST_SHARE, "longest": LONGEST_REST})
    ids = await session.scalars(_DISABLE_FAILING, {"failed": list(failed), "gone": list(gone)})
    found = [await by_id(session, one) for one in ids.all()]
    return [one for one in found if one is not None]


def _is_any(column: InstrumentedAttribute[str], values: Sequence[str]) -> ColumnElement[bool]:
    return column == any_(bindparam(None, list(values), type_=ARRAY(TEXT)))


def _endpoint(row: Row) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=row.id,
        name=row.name,
        url=row.url,
        types=tuple(row.types),
        created_at=row.created_at,
        created_by=row.created_by,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        previous_secret_expires_at=row.previous_secret_expires_at,
    )
