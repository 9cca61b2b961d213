"""
Indexes to find what may be deleted, and storage settings of tables whose rows are rewritten or deleted often.

Locks: the indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An
incomplete index is dropped first, so that the step can be repeated. Storage settings take SHARE UPDATE EXCLUSIVE for a
moment, and rewrite nothing: a fill factor applies to new pages.
"""

from alembic import op

revision = "storage"
down_revision = "derivations"
branch_labels = None
depends_on = None

_INDEXES = {
    "intents_settled_at_idx": "intents (settled_at) WHERE settled_at IS NOT NULL AND action NOT LIKE '%.%'",
    "checkouts_over_idx": "checkouts (created_at) WHERE status IN ('expired', 'failed')",
}
# Room for the next version of a row on its page, so that an update writes no index.
_FILL_FACTORS = {"entitlements": 85, "subscriptions": 85, "payments": 90, "buckets": 50}
# By default, a table is vacuumed when a fifth of it has changed: half a million events, after days.
_BUSY = ("events", "entitlements", "grants", "subscriptions", "terms", "intents", "checkouts")
_QUEUES = ("audit_unsealed", "calendar_work", "leases", "buckets", "idempotent_requests", "revocations")
_BUSY_SETTINGS = {
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
}
_QUEUE_SETTINGS = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for name, columns in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")
        for table, percent in _FILL_FACTORS.items():
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")
        for tables, settings in ((_BUSY, _BUSY_SETTINGS), (_QUEUES, _QUEUE_SETTINGS)):
            for table in tables:
                op.execute(
                    f"ALTER TABLE {table} SET ({', '.join(f'{name} = {value}' for name, value in settings.items())})"
                )


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        for table in _FILL_FACTORS:
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
        for tables, settings in ((_BUSY, _BUSY_SETTINGS), (_QUEUES, _QUEUE_SETTINGS)):
            for table in tables:
                op.execute(f"ALTER TABLE {table} RESET ({', '.join(settings)})")
