"""A copy of the database gives nobody an API key or the key that signs tokens."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from app.db.engine.session import Sessions
from app.encryption import signing_key_cipher
from app.services.signing_keys import Minting, Signer
from tests.operations.processes import run_newsstand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def contents(database: str) -> str:
    """Return every row of every table as text."""
    connection = await asyncpg.connect(database)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await connection.fetch(f'SELECT t::text FROM "{table}" t') for (table,) in tables]
    finally:
        await connection.close()
    return "\n".join(text for table in rows for (text,) in table)


async def test_no_table_has_an_api_key_or_a_private_key(database: str, sessions: Sessions, tmp_path: Path) -> None:
    cipher = signing_key_cipher((), tmp_path)
    minting = Minting(issuer="newsstand", audience="newsstand-site", life=timedelta(minutes=5))
    await Signer(sessions, cipher, minting).mint("ada", {}, 1, lasts=None, now=NOW)
    words = ["keys", "create", "--scope", "entitlements:read", "--name", "the site"]
    created = await asyncio.to_thread(run_newsstand, words, {"NEWSSTAND_DATABASE_URL": database})
    assert created.returncode == 0, created.stderr

    stored = await contents(database)
    assert "the site" in stored
    assert created.stdout.strip() not in stored
    assert "PRIVATE KEY" not in stored
    assert (tmp_path / "token-secret").read_text() not in stored
