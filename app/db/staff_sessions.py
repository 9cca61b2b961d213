"""Console sessions of staff, and logout tokens that were used."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import LogoutToken, SignOut, table_of
from app.db.models import StaffSession as Row
from app.domain.staff_sessions import StoredSession

CHECK_LEASE = timedelta(seconds=20)  # longer than the time-out of a call to the identity provider

_ROWS, _SIGN_OUTS = table_of(Row), table_of(SignOut)
_COLUMNS = (
    _ROWS.c.id,
    _ROWS.c.sub,
    _ROWS.c.name,
    _ROWS.c.roles,
    _ROWS.c.sid,
    _ROWS.c.started_at,
    _ROWS.c.signed_in_at,
    _ROWS.c.acr,
    _ROWS.c.checked_at,
    _ROWS.c.ended_at,
    _SIGN_OUTS.c.at.label("signed_out_at"),
)
_ALL = select(*_COLUMNS).outerjoin(_SIGN_OUTS, _SIGN_OUTS.c.sub == _ROWS.c.sub)
_BY_ID = _ALL.where(_ROWS.c.id == bindparam("its_id"))
_OPEN = (
    _ALL.where(
        _ROWS.c.ended_at.is_(None),
        _ROWS.c.started_at > bindparam("began_after"),
        or_(_SIGN_OUTS.c.at.is_(None), _SIGN_OUTS.c.at < _ROWS.c.started_at),
    )
    .order_by(_ROWS.c.started_at.desc(), _ROWS.c.id)
    .limit(bindparam("most"))
)


async def create(session: Session, made: StoredSession, *, refresh_token: str | None) -> None:
    """Store a new session. The refresh token is encrypted."""
    await session.execute(
        insert(Row).values(
            id=made.id,
            sub=made.sub,
            name=made.name,
            roles=sorted(made.roles),
            sid=made.sid,
            started_at=made.started_at,
            signed_in_at=made.signed_in_at,
            acr=made.acr,
            checked_at=made.checked_at,
            refresh_token=refresh_token,
        )
    )


async def find(read: Reads, session_id: str) -> StoredSession | None:
    """Return a session, open or not."""
    return next((_stored(row) for row in await read.execute(_BY_ID, {"its_id": session_id})), None)


async def list_open(read: Reads, *, began_after: datetime, limit: int) -> Sequence[StoredSession]:
    """Return the sessions that were not ended and began after a time, the newest first."""
    return [_stored(row) for row in await read.execute(_OPEN, {"began_after": began_after, "most": limit})]


async def claim_check(session: Session, session_id: str, *, checked_at: datetime) -> tuple[str | None] | None:
    """
    Claim the right to ask the identity provider about a session, because a refresh token can be used once only.

    Return its encrypted refresh token in a tuple. None: another process is asking, or has asked since ``checked_at``.
    """
    found = await session.execute(
        update(Row)
        .where(
            Row.id == session_id,
            Row.ended_at.is_(None),
            Row.checked_at == checked_at,
            or_(Row.checking_until.is_(None), Row.checking_until < func.now()),
        )
        .values(checking_until=func.now() + CHECK_LEASE)
        .returning(Row.refresh_token)
    )
    row = found.one_or_none()
    return (row.refresh_token,) if row else None


async def release_check(session: Session, session_id: str) -> None:
    """Let another request ask the provider, because this one got no answer."""
    await session.execute(update(Row).where(Row.id == session_id).values(checking_until=None))


async def save_check(
    session: Session,
    session_id: str,
    *,
    name: str,
    roles: frozenset[str],
    checked_at: datetime,
    refresh_token: str | None,
) -> None:
    """Store the provider's answer. A session that has ended meanwhile stays ended."""
    await session.execute(
        update(Row)
        .where(Row.id == session_id, Row.ended_at.is_(None))
        .values(
            name=name,
            roles=sorted(roles),
            checked_at=checked_at,
            checking_until=None,
            refresh_token=refresh_token,
        )
    )


async def end(session: Session, session_id: str, *, at: datetime) -> bool:
    """End a session. Return False if it does not exist or has ended before."""
    ended = await session.scalar(_end(at).where(Row.id == session_id).returning(Row.id))
    return ended is not None


async def end_of_sub(session: Session, sub: str, *, at: datetime) -> int:
    """End all sessions of a person. Return how many."""
    return len((await session.scalars(_end(at).where(Row.sub == sub).returning(Row.id))).all())


async def end_of_sid(session: Session, sid: str, *, sub: str | None, at: datetime) -> Sequence[str]:
    """End the sessions that belong to one of the identity provider's. Return the ``sub`` of each."""
    ending = _end(at).where(Row.sid == sid)
    if sub is not None:
        ending = ending.where(Row.sub == sub)
    return (await session.scalars(ending.returning(Row.sub))).all()


def _end(at: datetime):  # type: ignore[no-untyped-def]
    return update(Row).where(Row.ended_at.is_(None)).values(ended_at=at, refresh_token=None)


async def use_logout_token(session: Session, hashed: str, *, until: datetime, now: datetime) -> bool:
    """Record the use of a logout token. Return False if it was used before. Those that expired are deleted."""
    await session.execute(delete(LogoutToken).where(LogoutToken.until < now))
    made = insert(LogoutToken).values(hash=hashed, until=until).on_conflict_do_nothing()
    return await session.scalar(made.returning(LogoutToken.hash)) is not None


def _stored(row: Record) -> StoredSession:
    return StoredSession(
        id=row.id,
        sub=row.sub,
        name=row.name,
        roles=frozenset(row.roles),
        sid=row.sid,
        started_at=row.started_at,
        signed_in_at=row.signed_in_at,
        acr=row.acr,
        checked_at=row.checked_at,
        ended_at=row.ended_at,
        signed_out_at=row.signed_out_at,
    )
