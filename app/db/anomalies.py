"""Anomalies that staff must check: one row for each object and code, closed when the anomaly is gone."""

from collections.abc import Collection, Mapping

from sqlalchemy import Text, all_, any_, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import Anomaly as Row
from app.db.models import table_of
from app.domain.anomalies import Anomaly

_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == bindparam("subscriber"), _ROWS.c.gone_at.is_(None))
    .order_by(_ROWS.c.seen_at, _ROWS.c.id)
)
# Runs whenever a subscription is fetched, and rarely changes anything.
_CLOSE_OTHERS = (
    update(_ROWS)
    .where(
        _ROWS.c.object_id == bindparam("its_object"),
        _ROWS.c.gone_at.is_(None),
        _ROWS.c.code != all_(bindparam("found", type_=ARRAY(Text))),
    )
    .values(gone_at=func.now())
)
_CLOSE_OTHERS_AMONG = _CLOSE_OTHERS.where(_ROWS.c.code == any_(bindparam("among", type_=ARRAY(Text))))


async def report(
    session: Session,
    object_id: str,
    found: Mapping[str, str],
    *,
    subscriber_id: str | None,
    among: Collection[str] | None = None,
    keep: Collection[str] = (),
) -> None:
    """
    Store the current anomalies of an object, and close its others.

    :param found: the reason by code.
    :param among: close only anomalies with these codes; None for all.
    :param keep: don't close anomalies with these codes.
    """
    for code, reason in found.items():
        made = insert(Row).values(
            id=new_id("ano"), object_id=object_id, code=code, reason=reason[:1000], subscriber_id=subscriber_id
        )
        await session.execute(
            made.on_conflict_do_update(
                index_elements=[Row.object_id, Row.code],
                set_={
                    "reason": made.excluded.reason,
                    "subscriber_id": made.excluded.subscriber_id,
                    "seen_at": case((Row.gone_at.is_not(None), func.now()), else_=Row.seen_at),
                    "gone_at": None,
                },
            )
        )
    meant = {"its_object": object_id, "found": [*found, *keep]}
    if among is None:
        await session.execute(_CLOSE_OTHERS, meant)
    else:
        await session.execute(_CLOSE_OTHERS_AMONG, {**meant, "among": list(among)})


async def list_open(session: Session, *, after: str | None, limit: int) -> list[tuple[str, Anomaly]]:
    """Return the open anomalies with their IDs."""
    rows = await session.scalars(
        select(Row).where(Row.gone_at.is_(None), Row.id > (after or "")).order_by(Row.id).limit(limit)
    )
    return [(row.id, _anomaly(row)) for row in rows]


async def is_open(session: Session, object_id: str, code: str) -> bool:
    """Return whether an object has an open anomaly with a code."""
    found = select(Row.id).where(Row.object_id == object_id, Row.code == code, Row.gone_at.is_(None))
    return await session.scalar(found) is not None


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Anomaly]:
    """Return a subscriber's open anomalies, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [_anomaly(row) for row in rows]


def _anomaly(row: Row | Record) -> Anomaly:
    return Anomaly(
        object_id=row.object_id,
        code=row.code,
        reason=row.reason,
        subscriber_id=row.subscriber_id,
        seen_at=row.seen_at,
        gone_at=row.gone_at,
    )
