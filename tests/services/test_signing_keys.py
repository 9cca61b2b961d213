"""Rotation of the token signing keys while tokens are minted, with a real database and given times."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.db.engine.session import Sessions
from app.domain.entitlements import Decision
from app.domain.signing_keys import CACHED_FOR, LEAD, LONGEST_LIFE
from app.encryption import Cipher, signing_key_cipher
from app.services.signing_keys import Minting, Signer, rotate
from tests.support.contexts import database_context

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAY = {"archive": Decision(allowed=True, reason="paid_term", until=NOW + timedelta(days=300))}
MINUTE = timedelta(minutes=1)


class MintedTokens:
    """The tokens and published keys of two processes, minute by minute."""

    def __init__(self, sessions: Sessions, cipher: Cipher) -> None:
        minting = Minting(issuer="newsstand", audience="newsstand-site", life=LONGEST_LIFE)
        self.processes = [Signer(sessions, cipher, minting) for _ in range(2)]
        self.tokens: list[tuple[datetime, str]] = []
        self.published: dict[datetime, dict[str, dict[str, str]]] = {}

    async def mint_at(self, now: datetime) -> None:
        """Mint a token in both processes, and record the keys they publish."""
        made = await asyncio.gather(*(p.mint("ada", MAY, 1, lasts=None, now=now) for p in self.processes))
        self.tokens += [(now, one.token) for one in made]
        served = [await p.published(now=now) for p in self.processes]
        self.published[now] = {
            key["kid"]: key for key in served[0] if key in served[1]
        }  # an edge may call either process

    def signing_key_ids(self, since: datetime, until: datetime) -> set[str]:
        """Return the keys that signed within a period."""
        return {_kid(token) for at, token in self.tokens if since <= at < until}


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _verifies(token: str, keys: dict[str, dict[str, str]]) -> bool:
    if _kid(token) not in keys:
        return False
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    key = jwt.PyJWK(keys[_kid(token)])
    jwt.decode(token, key, algorithms=["ES256"], audience="newsstand-site", issuer="newsstand", options=options)
    return True


@pytest.fixture
def cipher(tmp_path: Path) -> Cipher:
    return signing_key_cipher([], tmp_path)


async def test_tokens_minted_around_a_rotation_verify_until_they_expire(sessions: Sessions, cipher: Cipher) -> None:
    minted = MintedTokens(sessions, cipher)
    await minted.mint_at(NOW - MINUTE)
    (old,) = minted.signing_key_ids(NOW - MINUTE, NOW)

    made, *_ = await asyncio.gather(
        rotate(database_context(sessions), cipher, now=NOW), minted.mint_at(NOW)
    )  # both processes at the same time
    assert made.signs_from == NOW + LEAD
    moments = [NOW + n * MINUTE for n in range(1, int((LEAD + LONGEST_LIFE) / MINUTE) + 30)]
    for now in moments:
        await minted.mint_at(now)

    assert minted.signing_key_ids(NOW, made.signs_from) == {old}
    assert minted.signing_key_ids(made.signs_from, moments[-1]) == {made.id}
    assert set(minted.published[NOW + MINUTE]) == {old, made.id}  # both keys, before the new one signs
    assert set(minted.published[made.signs_from + LONGEST_LIFE]) == {old, made.id}  # until the last token has expired
    assert set(minted.published[moments[-1]]) == {made.id}
    for at, token in minted.tokens:
        for asked in (now for now in moments if at - CACHED_FOR <= now <= at + LONGEST_LIFE):
            # the keys of an edge with the oldest allowed cache, when the token arrives and just before it expires
            assert _verifies(token, minted.published[asked]), (at, asked)


async def test_a_rotation_for_a_stolen_key_invalidates_its_tokens(sessions: Sessions, cipher: Cipher) -> None:
    minted = MintedTokens(sessions, cipher)
    await minted.mint_at(NOW)

    made = await rotate(database_context(sessions), cipher, now=NOW + MINUTE, compromised=True)
    await minted.mint_at(NOW + 2 * MINUTE)

    assert set(minted.published[NOW + 2 * MINUTE]) == {made.id}
    stolen, *_, fresh = [token for _, token in minted.tokens]
    assert not _verifies(stolen, minted.published[NOW + 2 * MINUTE])
    assert _verifies(fresh, minted.published[NOW + 2 * MINUTE])


async def test_two_concurrent_rotations_leave_one_next_key(sessions: Sessions, cipher: Cipher) -> None:
    minted = MintedTokens(sessions, cipher)
    await minted.mint_at(NOW)

    made = await asyncio.gather(*(rotate(database_context(sessions), cipher, now=NOW + MINUTE) for _ in range(3)))
    await minted.mint_at(NOW + MINUTE + LEAD)

    assert minted.signing_key_ids(NOW + MINUTE, NOW + 2 * LEAD) <= {one.id for one in made}
    assert len(minted.signing_key_ids(NOW + MINUTE, NOW + 2 * LEAD)) == 1
