"""
The work queue: what staff say about its items, and an index for each kind of item in the order of the queue.

The running release doesn't know the table, and doesn't use the indexes.

Locks: the table is new. The indexes are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a
transaction. They are partial, so they are small, but each build reads its table twice. An incomplete index is dropped first.
Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "work_queue"
down_revision = "reader_search"
branch_labels = None
depends_on = None

_INDEXES = {
    "refunds_failed_at_idx": "refunds (created_at, id) WHERE status IN ('failed', 'canceled')",
    "disputes_concern_at_idx": "disputes (opened_at, id) WHERE concern IS NOT NULL",
    "fraud_warnings_left_at_idx": (
        "fraud_warnings (created_at, id) WHERE actionable AND acted_as IN ('kept', 'not_refundable')"
    ),
    "events_dead_idx": "events (received_at, id) WHERE state = 'dead'",
    "anomalies_open_at_idx": "anomalies (seen_at, id) WHERE gone_at IS NULL",
}


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        for name, definition in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
    op.create_table(
        "work_item_marks",
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=True),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snoozed_state", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("object_id", name=op.f("work_item_marks_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "work_item_marks_assigned_to_idx",
        "work_item_marks",
        ["assigned_to"],
        postgresql_where=sa.text("assigned_to IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index("work_item_marks_changed_at_idx", "work_item_marks", ["changed_at"], if_not_exists=True)


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_table("work_item_marks")
