"""Credits: money returned without a refund."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Credit as Row
from app.db.models import table_of
from app.domain.credits import Credit

_ROWS = table_of(Row)
_OF_SUBSCRIPTION = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscription_id == bindparam("subscription"))
    .order_by(_ROWS.c.created_at, _ROWS.c.id, _ROWS.c.kind)
)
_NEW = insert(_ROWS)
_SAVE = _NEW.on_conflict_do_update(
    index_elements=[Row.id, Row.kind],
    set_={"amount": _NEW.excluded.amount},
    where=_ROWS.c.amount != _NEW.excluded.amount,
).returning(*_ROWS.c)


async def save(session: Session, subscription_id: str, credits: Sequence[Credit]) -> list[Credit]:
    """Save credits, and return those that are new or changed."""
    changed = []
    for credit in credits:
        values = {
            "id": credit.id,
            "kind": credit.kind,
            "subscription_id": subscription_id,
            "invoice_id": credit.invoice_id,
            "amount": credit.amount,
            "currency": credit.currency,
            "created_at": credit.created_at,
        }
        if (await session.execute(_SAVE, values)).one_or_none() is not None:
            changed.append(credit)
    return changed


async def of_subscription(session: Reads, subscription_id: str) -> list[Credit]:
    """Return the credits of a subscription, earliest first."""
    return [_credit(row) for row in await session.execute(_OF_SUBSCRIPTION, {"subscription": subscription_id})]


def _credit(row: Record) -> Credit:
    return Credit(
        id=row.id,
        kind=row.kind,
        invoice_id=row.invoice_id,
        amount=row.amount,
        currency=row.currency,
        created_at=row.created_at,
    )
