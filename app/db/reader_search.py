"""
The search for readers: by a complete value, by the beginning of an email address, and by any part of a name.

Every statement reads a bounded part of an index, in the index's order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record
from app.db.models import ContactChange, Subscriber, table_of
from app.db.reader_filters import LAST, WHEN, all_of, conditions, exists, shape, statement, values_of, wanted
from app.db.subscribers import Subscriber as SubscriberRecord
from app.db.subscribers import of_row
from app.domain.reader_search import Filters

MATCHES = 500  # readers that are ranked
SCANNED = 5_000  # parts of names that begin with a word and are checked for the filters
PROBED = (
    1_000  # parts of names whose readers are checked for the other words; if all words have more, they are intersected
)
INTERSECTED = 50_000  # parts of names with each word
EMAILS = 100

# --- by a complete value, or by the beginning of an email address ---

_BY_VALUE = statement(
    """
    SELECT id, 'id' AS found_by FROM subscribers WHERE id = :words
    UNION ALL SELECT id, 'sign_in_id' FROM subscribers WHERE sub = :words
    UNION ALL SELECT id, 'id' FROM subscribers WHERE stripe_customer_id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM subscriptions WHERE id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM subscriptions WHERE stripe_id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM refunds WHERE id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM refunds WHERE stripe_refund_id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM refunds WHERE credit_note_id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM subscriptions WHERE renewal ->> 'invoice_id' = :words
    UNION ALL SELECT subscriber_id, 'id' FROM disputes WHERE id = :words AND subscriber_id IS NOT NULL
    UNION ALL SELECT subscriber_id, 'id' FROM disputes WHERE charge_id = :words AND subscriber_id IS NOT NULL
    UNION ALL SELECT subscriber_id, 'id' FROM checkouts WHERE id = :words
    UNION ALL SELECT subscriber_id, 'id' FROM checkouts WHERE stripe_id = :words
    UNION ALL (SELECT s.subscriber_id, 'id' FROM events e JOIN subscriptions s
        ON s.stripe_id = substr(e.work_key, length('subscription:') + 1)
        WHERE e.object_id = :words AND starts_with(e.work_key, 'subscription:') LIMIT 1)
    UNION ALL (SELECT s.subscriber_id, 'id' FROM events e JOIN payments p
        ON p.id = substr(e.work_key, length('payment:') + 1) JOIN subscriptions s ON s.id = p.subscription_id
        WHERE e.object_id = :words AND starts_with(e.work_key, 'payment:') LIMIT 1)
    UNION ALL SELECT s.subscriber_id, 'id' FROM payments p JOIN subscriptions s ON s.id = p.subscription_id
        WHERE p.id = :words
    UNION ALL SELECT s.subscriber_id, 'id' FROM payments p JOIN subscriptions s ON s.id = p.subscription_id
        WHERE p.invoice_id = :words
    UNION ALL SELECT s.subscriber_id, 'invoice' FROM payments p JOIN subscriptions s ON s.id = p.subscription_id
        WHERE p.invoice_number = :upper
    UNION ALL (SELECT id, CASE WHEN lower(email) = :low THEN 'email' ELSE 'email_beginning' END FROM subscribers
        WHERE lower(email) ~>=~ :low AND lower(email) ~<~ :high ORDER BY lower(email) USING ~<~ LIMIT :most)
    UNION ALL (SELECT subscriber_id, CASE WHEN lower(email) = :low THEN 'former_email' ELSE 'email_beginning' END
        FROM contact_changes
        WHERE lower(email) ~>=~ :low AND lower(email) ~<~ :high ORDER BY lower(email) USING ~<~ LIMIT :most)
    """,
    id=Text,
    found_by=Text,
)

# --- by names ---

_COUNTS = statement(
    """
    SELECT term, (SELECT count(*) FROM (
        SELECT FROM reader_name_parts WHERE part >= term AND part < term || :last ORDER BY part LIMIT :most
    ) AS found) AS found FROM unnest(:terms) AS term
    """,
    term=Text,
    found=BigInteger,
)
_KNOWN = statement(
    """
    SELECT term, found.part FROM unnest(:terms) AS term CROSS JOIN LATERAL (
        SELECT part FROM reader_name_parts WHERE part >= term AND part < term || :last ORDER BY part LIMIT 1
    ) AS found
    """,
    term=Text,
    part=Text,
)
# The different parts with a beginning, each found by a step in the index.
_DIFFERENT = statement(
    """
    WITH RECURSIVE found AS (
        (SELECT part FROM reader_name_parts WHERE part >= :low AND part < :high ORDER BY part LIMIT 1)
        UNION ALL
        SELECT (SELECT next.part FROM reader_name_parts next WHERE next.part > found.part AND next.part < :high
                ORDER BY next.part LIMIT 1)
        FROM found WHERE found.part IS NOT NULL
    )
    SELECT part FROM found WHERE part IS NOT NULL LIMIT :most
    """,
    part=Text,
)

_HAS_OTHER_WORDS = """(
    SELECT count(DISTINCT other.number) FROM unnest(:others, :numbers) AS other (term, number) WHERE coalesce((
        SELECT true FROM reader_name_parts part WHERE part.subscriber_id = {reader}
        AND part.part >= other.term AND part.part < other.term || :last LIMIT 1), false)
    ) = :count"""
_HAS_CARD = exists("FROM subscriptions s WHERE s.subscriber_id = {reader} AND s.card_last4 = :digits")


@cache
def _candidates(filters: Filters, *, with_others: bool, with_card: bool) -> "Select[Any]":
    """Return the statement that finds readers by their names."""
    wanted_of = [conditions(filters, "begun.id", named=True)]
    wanted_of += [_HAS_OTHER_WORDS.format(reader="begun.id")] if with_others else []
    wanted_of += [_HAS_CARD.format(reader="begun.id")] if with_card else []
    return statement(
        f"""
        SELECT r.id, r.name, r.created_at FROM subscribers r WHERE r.id = ANY(ARRAY(
            SELECT begun.id FROM (
                SELECT part.subscriber_id AS id, min(part.part) AS part FROM unnest(:driver) AS term CROSS JOIN LATERAL (
                    SELECT subscriber_id, part FROM reader_name_parts WHERE part >= term AND part < term || :last
                    ORDER BY part, subscriber_id LIMIT :scanned
                ) AS part GROUP BY part.subscriber_id
            ) AS begun WHERE {all_of(wanted_of)} ORDER BY begun.part, begun.id LIMIT :most
        ))
        """,  # noqa: S608 - of constants
        id=Text,
        name=Text,
        created_at=WHEN,
    )


@cache
def _intersection(filters: Filters, *, with_card: bool) -> "Select[Any]":
    """Return the statement that finds readers by their names if all words are common. Whole words come first."""
    wanted_of = [conditions(filters, "begun.id", named=True)]
    wanted_of += [_HAS_CARD.format(reader="begun.id")] if with_card else []
    return statement(
        f"""
        SELECT r.id, r.name, r.created_at FROM subscribers r WHERE r.id = ANY(ARRAY(
            SELECT begun.id FROM (
                SELECT part.subscriber_id AS id, count(*) FILTER (WHERE part.part = word.term) AS whole
                FROM unnest(:others, :numbers) AS word (term, number) CROSS JOIN LATERAL (
                    SELECT subscriber_id, part FROM reader_name_parts
                    WHERE part >= word.term AND part < word.term || :last ORDER BY part, subscriber_id LIMIT :scanned
                ) AS part GROUP BY part.subscriber_id HAVING bit_or(1 << CAST(word.number AS int)) = :count
                OFFSET 0 -- so that what follows is only asked about readers with all words
            ) AS begun WHERE {all_of(wanted_of)} ORDER BY begun.whole DESC, begun.id LIMIT :most
        ))
        """,  # noqa: S608 - of constants
        id=Text,
        name=Text,
        created_at=WHEN,
    )


@cache
def _with_card(filters: Filters) -> "Select[Any]":
    return statement(
        f"""
        SELECT r.id, r.name, r.created_at FROM subscribers r WHERE r.id = ANY(ARRAY(
            SELECT owned.id FROM (
                SELECT subscriber_id AS id FROM subscriptions WHERE card_last4 = :digits
                ORDER BY created_at DESC, id DESC LIMIT :scanned
            ) AS owned WHERE {conditions(filters, "owned.id")} LIMIT :most
        ))
        """,  # noqa: S608 - of constants
        id=Text,
        name=Text,
        created_at=WHEN,
    )


@cache
def _with_ids(filters: Filters) -> "Select[Any]":
    return statement(
        f"SELECT r.id, r.name, r.created_at FROM subscribers r WHERE r.id = ANY(:terms) AND {conditions(filters, 'r.id')}",  # noqa: S608
        id=Text,
        name=Text,
        created_at=WHEN,
    )


_ROWS, _FORMER = table_of(Subscriber), table_of(ContactChange)
_FORMERLY = (
    select(func.array_cat(func.array_agg(_FORMER.c.email), func.array_agg(_FORMER.c.name)))
    .where(_FORMER.c.subscriber_id == _ROWS.c.id)
    .scalar_subquery()
)
_DETAILS = select(*_ROWS.c, _FORMERLY.label("formerly")).where(
    _ROWS.c.id == func.any(bindparam("ids", type_=ARRAY(Text)))
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reader who may match a search."""

    id: str
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Readers who match, and whether there may be more who do."""

    candidates: Sequence[Candidate]
    is_cut: bool


async def by_value(read: Reads, words: str) -> list[tuple[str, str]]:
    """
    Return the IDs of readers with a complete value, or whose email address, present or former, begins with the words.

    :returns: for each the ID and by what it was found: ``id``, ``sign_in_id``, ``invoice``, ``email``, ``former_email``,
        ``email_beginning``. The identity provider chooses sign-in IDs: one may be what others are named.
    """
    low = words.lower()
    asked = {"words": words, "low": low, "high": low + LAST, "upper": words.upper(), "most": EMAILS}
    return [(row.id, row.found_by) for row in await read.execute(_BY_VALUE, asked)]


async def count_parts(read: Reads, terms: Sequence[str], *, limit: int = SCANNED) -> dict[str, int]:
    """Return how many parts of names begin with each word, counted up to a limit."""
    rows = await read.execute(_COUNTS, {"terms": list(terms), "last": LAST, "most": limit})
    return {row.term: row.found for row in rows}


async def known_parts(read: Reads, words: Sequence[str]) -> dict[str, str]:
    """Return those of many words with which a part of a name begins, each with the first such part."""
    rows = await read.execute(_KNOWN, {"terms": list(words), "last": LAST})
    return {row.term: row.part for row in rows}


async def different_parts(read: Reads, beginning: str, *, limit: int) -> list[str]:
    """Return the first different parts of names with a beginning."""
    asked = {"low": beginning, "high": beginning + LAST, "most": limit}
    return [row.part for row in await read.execute(_DIFFERENT, asked)]


async def by_names(
    read: Reads, words: Sequence[Sequence[str]], filters: Filters, *, card: str | None, now: datetime
) -> Found:
    """
    Return readers whose names have a part for each word.

    The readers with the rarest word are checked for the others. If there are too many of them, the readers with each word
    are intersected.

    :param words: each with what may stand for it.
    :param card: the last four digits of their card; None: any card.
    """
    counts = await count_parts(read, [term for terms in words for term in terms])
    ranked = sorted((sum(counts[term] for term in terms), -len(terms[0]), terms) for terms in words)
    if not ranked or not ranked[0][0]:
        return Found([], is_cut=False)
    rarest = ranked[0][0]
    driver, *others = ([*terms] for *_, terms in ranked)
    asked = {**values_of(filters, now), "last": LAST, "digits": card, "most": MATCHES + 1}
    if others and rarest > PROBED:
        flat = [(term, number) for number, terms in enumerate([driver, *others]) for term in terms]
        counts = await count_parts(read, [term for term, _ in flat], limit=INTERSECTED)
        asked |= {"count": (1 << len(words)) - 1, "scanned": INTERSECTED}  # a bit for each word
        found, is_cut = _intersection(shape(filters), with_card=card is not None), max(counts.values()) >= INTERSECTED
    else:
        flat = [(term, number) for number, terms in enumerate(others) for term in terms]
        scanned = SCANNED if others or card is not None or filters.is_set else MATCHES + 1
        asked |= {"driver": driver, "count": len(others), "scanned": scanned}
        found = _candidates(shape(filters), with_others=bool(others), with_card=card is not None)
        is_cut = max(counts[term] for term in driver) >= scanned
    asked |= {"others": [term for term, _ in flat], "numbers": [number for _, number in flat]}
    return _found(await read.execute(found, wanted(found, asked)), is_cut=is_cut)


async def by_card(read: Reads, digits: str, filters: Filters, *, now: datetime) -> Found:
    """Return the newest readers with the last four digits of a card."""
    found = _with_card(shape(filters))
    asked = {**values_of(filters, now), "digits": digits, "scanned": MATCHES + 1, "most": MATCHES + 1}
    return _found(await read.execute(found, wanted(found, asked)))


async def by_ids(read: Reads, ids: Sequence[str], filters: Filters, *, now: datetime) -> list[Candidate]:
    """Return those of some readers whom the filters match."""
    found = _with_ids(shape(filters))
    asked = {**values_of(filters, now), "terms": list(ids)}
    return [_candidate(row) for row in await read.execute(found, wanted(found, asked))]


async def details(read: Reads, ids: Sequence[str]) -> dict[str, SubscriberRecord]:
    """Return readers with their former email addresses and names, by ID."""
    return {row.id: of_row(row, row.formerly or ()) for row in await read.execute(_DETAILS, {"ids": list(ids)})}


def _found(rows: Iterable[Record], *, is_cut: bool = False) -> Found:
    """Return the readers of rows, of which one more than :data:`MATCHES` was requested."""
    candidates = [_candidate(row) for row in rows]
    return Found(candidates[:MATCHES], is_cut=is_cut or len(candidates) > MATCHES)


def _candidate(row: Record) -> Candidate:
    return Candidate(row.id, row.name, row.created_at)
