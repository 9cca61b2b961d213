"""A backlog of due rows, as after an outage."""

import asyncpg


async def make_due(dsn: str, rows: int) -> None:
    """Let exactly this many of the newest rows be due in each table, or all that it has."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute(
            "UPDATE events SET due_at = NULL, state = 'applied' WHERE due_at IS NOT NULL AND state = 'received'"
        )
        await connection.execute("TRUNCATE audit_unsealed")
        await connection.execute(
            "INSERT INTO audit_chain (seq, audit_id, hash, previous)"
            " SELECT id, id, sha256(int8send(id)), sha256(int8send(id - 1))"
            " FROM audit_log WHERE id > (SELECT max(seq) FROM audit_chain)"
        )
        await connection.execute(
            "UPDATE events SET due_at = received_at, state = 'received' WHERE id IN"
            " (SELECT id FROM events WHERE state = 'applied' ORDER BY received_at DESC LIMIT $1)",
            rows,
        )
        await connection.execute(
            "INSERT INTO audit_unsealed (id, work_key, due_at) SELECT id, 'audit', at FROM audit_log"
            " ORDER BY id DESC LIMIT $1",
            rows,
        )
        for table, key in (
            ("subscriptions", "created_at"),
            ("refunds", "created_at"),
            ("contact_changes", "changed_at"),
        ):
            await connection.execute(f"UPDATE {table} SET due_at = NULL WHERE due_at IS NOT NULL")
            await connection.execute(
                f"UPDATE {table} SET due_at = {key} WHERE id IN (SELECT id FROM {table} ORDER BY {key} DESC LIMIT $1)",
                rows,
            )
            await connection.execute(f"ANALYZE {table}")
        await connection.execute("UPDATE subscribers SET indexed_name = name WHERE indexed_name IS DISTINCT FROM name")
        await connection.execute(
            "UPDATE subscribers SET indexed_name = NULL WHERE id IN"
            " (SELECT id FROM subscribers ORDER BY created_at DESC LIMIT $1)",
            rows,
        )
        await connection.execute("ANALYZE subscribers")
        await connection.execute("DELETE FROM audit_chain WHERE seq > (SELECT max(seq) FROM audit_chain) - $1", rows)
        await connection.execute("ANALYZE events")
        await connection.execute("ANALYZE audit_unsealed")
    finally:
        await connection.close()
