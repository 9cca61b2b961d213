"""
Webhook endpoints, the deliveries of events to them, and their lanes; what the outbox has of label runs.

The running release doesn't know the tables and columns. What it freezes is not announced.

Locks: the tables are new. Adding the columns takes ACCESS EXCLUSIVE on label_runs for an instant, because no row is written. The index of the outbox is built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue),
outside a transaction. An incomplete index is dropped first. Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op

revision = "webhook_endpoints"
down_revision = "declared_cancellations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS outbox_events_erased_idx")
        op.execute(
            "CREATE INDEX CONCURRENTLY outbox_events_erased_idx ON outbox_events (created_at)"
            " WHERE type = 'reader.erased' AND sub IS NOT NULL"
        )
    op.execute("ALTER TABLE label_runs ADD COLUMN IF NOT EXISTS announced bigint")
    op.execute("ALTER TABLE label_runs ADD COLUMN IF NOT EXISTS addresses_announced boolean NOT NULL DEFAULT true")
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("encrypted_secret", sa.Text(), nullable=False),
        sa.Column("previous_encrypted_secret", sa.Text(), nullable=True),
        sa.Column("previous_secret_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_endpoints_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("first_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("response_status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("response_body", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", "sequence", name=op.f("webhook_deliveries_pkey")),
        if_not_exists=True,
    )
    for name, columns in {
        "status": ["endpoint_id", "status", "sequence"],
        "event_id": ["event_id"],
        "subscriber_id": ["subscriber_id"],
        "created_at": ["created_at"],
    }.items():
        op.create_index(f"webhook_deliveries_{name}_idx", "webhook_deliveries", columns, if_not_exists=True)
    op.create_index(
        "webhook_deliveries_lane_idx",
        "webhook_deliveries",
        ["lane", "sequence"],
        postgresql_where=sa.text("status = 'pending'"),
        if_not_exists=True,
    )
    op.create_table(
        "webhook_lanes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_lanes_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "webhook_lanes_endpoint_id_idx",
        "webhook_lanes",
        ["endpoint_id", "due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("webhook_lanes")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
    op.drop_column("label_runs", "addresses_announced")
    op.drop_column("label_runs", "announced")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS outbox_events_erased_idx")
