"""
The audit log's chain: seals, the entries that wait for one, and the free text of reasons, stored outside the chain.

Locks: the three tables are new, so nothing waits. A foreign key and a trigger take SHARE ROW EXCLUSIVE on the audit log (writes
wait, reads continue) for a moment. The entries that were there before are queued for sealing afterwards, 10,000 at a time, each
batch in its own transaction, while writes continue: the newest batch first, so that what is queued shows where an interrupted
run stopped. The indexes of the audit log are
built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An incomplete index is dropped
first, so that the step can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "audit_chain"
down_revision = "reconciliation"
branch_labels = None
depends_on = None

APPEND_ONLY = """
CREATE OR REPLACE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
"""
WAIT = """
CREATE OR REPLACE FUNCTION audit_waits_for_its_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (id, work_key, due_at) VALUES (NEW.id::text, 'audit', now());
    RETURN NULL;
END $$
"""
WAITING = """
CREATE OR REPLACE TRIGGER audit_waits_for_its_seal AFTER INSERT ON audit_log
FOR EACH ROW EXECUTE FUNCTION audit_waits_for_its_seal()
"""
FIRST_QUEUED = "SELECT min(id::bigint) FROM audit_unsealed"  # NULL: none yet
QUEUE_EARLIER = """
WITH queued AS (
    INSERT INTO audit_unsealed (id, work_key, due_at)
    SELECT entry.id::text, 'audit', now() FROM audit_log AS entry
    WHERE entry.id < :before ORDER BY entry.id DESC LIMIT 10000
    ON CONFLICT DO NOTHING RETURNING id)
SELECT min(id::bigint) FROM queued
"""
LARGEST_ID = 2**63 - 1
INDEXED = ("actor", "at")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_unsealed",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_unsealed_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "audit_unsealed_due_at_idx",
        "audit_unsealed",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "audit_seals",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("audit_seals_pkey")),
        sa.UniqueConstraint("audit_id", name=op.f("audit_seals_audit_id_key")),
        sa.UniqueConstraint("previous", name=op.f("audit_seals_previous_key")),
        if_not_exists=True,
    )
    op.execute(APPEND_ONLY)
    op.create_table(
        "audit_notes",
        sa.Column("audit_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audit_log.id"], name=op.f("audit_notes_audit_id_fkey")),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("audit_notes_pkey")),
        if_not_exists=True,
    )
    op.execute(WAIT)
    op.execute(WAITING)
    with op.get_context().autocommit_block():
        if not op.get_context().as_sql:
            _queue_earlier_entries()
        for column in INDEXED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS audit_log_{column}_idx")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_{column}_idx ON audit_log ({column})")


def _queue_earlier_entries() -> None:
    """Queue the entries that were there before the trigger: it queues every later one."""
    connection = op.get_bind()
    before = connection.scalar(sa.text(FIRST_QUEUED)) or LARGEST_ID
    while before is not None:
        before = connection.scalar(sa.text(QUEUE_EARLIER), {"before": before})


def downgrade() -> None:
    """Undo. The release before knows nothing of it; words that stand beside the chain are lost."""
    with op.get_context().autocommit_block():
        for column in INDEXED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS audit_log_{column}_idx")
    op.execute("DROP TRIGGER IF EXISTS audit_waits_for_its_seal ON audit_log")
    op.execute("DROP FUNCTION IF EXISTS audit_waits_for_its_seal()")
    op.drop_table("audit_notes")
    op.drop_table("audit_seals")
    op.drop_table("audit_unsealed")
