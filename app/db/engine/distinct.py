"""The distinct values of an indexed column, with one look into the index for each value instead of a scan."""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.engine.session import Session


async def distinct(session: Session, column: InstrumentedAttribute[str], *conditions: ColumnElement[bool]) -> list[str]:
    """
    Return the values of a column, in the order of its index.

    An index must begin with the columns of the ``conditions``, which are equalities, followed by ``column``.
    """
    chain = select(func.min(column).label("value")).where(*conditions).cte("chain", recursive=True)
    following = select(func.min(column)).where(column > chain.c.value, *conditions).scalar_subquery()
    chain = chain.union_all(select(following).where(chain.c.value.is_not(None)))
    found = await session.scalars(select(chain.c.value).where(chain.c.value.is_not(None)))
    return list(found)
