"""The loaded part of an entitlement row gives the same result as the whole row."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.db import grants, revocations, subscribers
from app.db.engine.pool import open_pool
from app.db.engine.session import Sessions
from app.db.entitlements import EntitlementLookup, load_feature
from app.domain.entitlements import AccessPeriod, AccessReason, EntitlementSet, decide, dump
from app.domain.plans import Catalogue, Feature
from tests.support.database import END_THE_OTHERS, OFTEN
from tests.support.timeouts import TIMEOUT

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("archive", "audio", "print_edition")
CATALOGUE = Catalogue(publisher="", plans={}, features={name: Feature(name=name, title=name) for name in NAMES})

days = st.integers(-3, 3).map(lambda days: NOW + timedelta(days=days))
periods = st.builds(AccessPeriod, days, days, st.sampled_from([AccessReason.PAID_TERM, AccessReason.GRACE_PERIOD]))
accesses = st.builds(
    EntitlementSet,
    features=st.dictionaries(st.sampled_from(NAMES), st.lists(periods, max_size=3).map(tuple)),
    otherwise=st.just(AccessReason.ENDED),
)


@given(accesses, st.sampled_from(NAMES))
def test_a_partial_row_gives_the_same_result_as_the_whole_row(access: EntitlementSet, feature: str) -> None:
    part = load_feature(feature, dump(access))

    assert decide(part, feature, CATALOGUE, now=NOW) == decide(access, feature, CATALOGUE, now=NOW)


async def test_a_lookup_is_answered_if_it_arrives_as_the_last_batch_ends(database: str) -> None:
    pool = await open_pool(database, size=2, pooler=False)
    lookup = EntitlementLookup(pool, concurrency=1)

    async with asyncio.timeout(TIMEOUT):  # each arrives in the step in which the one before is answered
        rows = [await lookup.get("nobody") for _ in range(3)]

    assert rows == [None, None, None]
    await pool.close()


async def test_lookups_survive_a_restart_of_the_server(database: str) -> None:
    pool = await open_pool(database, size=2, pooler=False)
    lookup, other = EntitlementLookup(pool), await asyncpg.connect(database)
    for _ in range(OFTEN):
        assert await lookup.get("nobody") is None
        await other.execute(END_THE_OTHERS)
    await other.close()
    pool.terminate()  # its connections were just ended


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("published", [False, True])
async def test_a_returning_reader_is_above_every_earlier_revocation(
    sessions: Sessions, published: bool, together: bool
) -> None:
    access = EntitlementSet(features={}, otherwise=AccessReason.ENDED)
    async with sessions.begin() as session:
        for sub, version in (("ada", 7), ("ada", 6), ("bob", 20)):
            await revocations.add(session, sub, version)
    if published:
        async with sessions.begin() as session:
            await revocations.publish(session)

    async with sessions.begin() as session:
        readers = [await subscribers.ensure(session, sub=sub, email=None, name=None) for sub in ("ada", "new")]
        if together:
            await grants.save_entitlements(session, [(reader, access) for reader in readers])
        else:
            for reader in readers:
                await grants.save_entitlement(session, reader, access)

    async with sessions.begin() as session:
        stored = await session.execute(text("SELECT sub, version FROM entitlements"))
    assert {row.sub: row.version for row in stored} == {"ada": 8, "new": 1}
