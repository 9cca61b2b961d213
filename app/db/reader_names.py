"""
The parts of readers' names and postal addresses that the search finds.

Who writes a name needs to do nothing: a name that differs from the one whose parts are stored is due, and a worker stores
them. Who changes an address calls :func:`outdate`. The rules are in :mod:`app.domain.reader_names`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Text, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.engine.session import Session
from app.db.models import ContactChange, PostalAddress, ReaderNamePart, table_of
from app.domain.reader_names import DASHES

_PARTS, _FORMER, _ADDRESSES = table_of(ReaderNamePart), table_of(ContactChange), table_of(PostalAddress)
# Each by an index of its own, in the index's order. Releases before the second one did not join names with a dash.
_DUE = ("name IS DISTINCT FROM indexed_name", f"name ~ '[{DASHES}]' AND name IS DISTINCT FROM joined_name")
_IS_DUE, _IS_JOINED_DUE = (
    text(f"SELECT id FROM subscribers WHERE {due} ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED")  # noqa: S608
    for due in _DUE
)
_TAKE, _TAKE_JOINED = (
    text(f"SELECT id, name FROM subscribers WHERE {due} ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED")  # noqa: S608
    for due in _DUE
)
_FORMERLY = select(_FORMER.c.subscriber_id, _FORMER.c.name).where(
    _FORMER.c.subscriber_id == func.any(bindparam("ids", type_=ARRAY(Text))), _FORMER.c.name.is_not(None)
)
_LIVES_AT = select(
    _ADDRESSES.c.subscriber_id,
    *(_ADDRESSES.c[name] for name in ("name", "company", "line1", "line2", "district", "city", "postal_code")),
).where(
    _ADDRESSES.c.subscriber_id == func.any(bindparam("ids", type_=ARRAY(Text))),
    _ADDRESSES.c.replaced_at.is_(None),
    _ADDRESSES.c.line1.is_not(None),
)
# No name is written like this, so it differs from every name.
_OUTDATE = text("UPDATE subscribers SET indexed_name = 'outdated: ' || id WHERE id = :id")
_REMOVE = delete(_PARTS).where(_PARTS.c.subscriber_id == func.any(bindparam("ids", type_=ARRAY(Text))))
_ADD = text("INSERT INTO reader_name_parts (part, subscriber_id) SELECT * FROM unnest(:parts, :ids)").bindparams(
    bindparam("parts", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text))
)
_COMPLETE = text("UPDATE subscribers SET indexed_name = name, joined_name = name WHERE id = ANY(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(Text))
)


@dataclass(frozen=True, slots=True)
class NamedReader:
    """A reader with their present and former names, and their present postal addresses."""

    id: str
    names: tuple[str, ...]
    addresses: tuple[str, ...] = ()


async def is_due(session: Session) -> bool:
    """Return whether the parts of a name must be stored, other than of readers that others have locked."""
    return await session.scalar(_IS_DUE) is not None or await session.scalar(_IS_JOINED_DUE) is not None


async def take(session: Session, *, limit: int) -> list[NamedReader]:
    """Take readers whose names must be indexed, and lock them until this transaction ends."""
    taken = {row.id: [row.name] for row in await session.execute(_TAKE, {"limit": limit})}
    if not taken:
        taken = {row.id: [row.name] for row in await session.execute(_TAKE_JOINED, {"limit": limit})}
    addresses: dict[str, list[str]] = {}
    if taken:
        for row in await session.execute(_FORMERLY, {"ids": list(taken)}):
            taken[row.subscriber_id].append(row.name)
        for reader, *fields in await session.execute(_LIVES_AT, {"ids": list(taken)}):
            addresses.setdefault(reader, []).append(" ".join(one for one in fields if one))
    return [
        NamedReader(one, tuple(name for name in names if name is not None), tuple(addresses.get(one, ())))
        for one, names in taken.items()
    ]


async def outdate(session: Session, subscriber_id: str) -> None:
    """Let a worker store a reader's parts again, because their postal addresses have changed."""
    await session.execute(_OUTDATE, {"id": subscriber_id})


async def replace(session: Session, parts: Mapping[str, Collection[str]]) -> None:
    """Replace the parts of readers that :func:`take` has returned, by ID."""
    ids = list(parts)
    await session.execute(_REMOVE, {"ids": ids})
    rows = sorted((part, reader) for reader, its_parts in parts.items() for part in its_parts)
    await session.execute(_ADD, {"parts": [part for part, _ in rows], "ids": [reader for _, reader in rows]})
    await session.execute(_COMPLETE, {"ids": ids})
