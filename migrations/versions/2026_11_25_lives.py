"""
Trials and pauses of a subscription, and its anomalies.

Locks: ACCESS EXCLUSIVE on subscriptions for a moment, to add two columns without a default. No row is rewritten. The table of
anomalies is new. Its foreign key takes SHARE ROW EXCLUSIVE on subscribers for a moment, and scans nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "lives"
down_revision = "comps"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriptions", sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True))
    op.add_column("subscriptions", sa.Column("collection_paused", sa.Text(), nullable=True))
    op.create_table(
        "anomalies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("anomalies_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("anomalies_pkey")),
    )
    op.create_index(op.f("anomalies_subscriber_id_idx"), "anomalies", ["subscriber_id"])
    op.create_index("anomalies_object_id_code_idx", "anomalies", ["object_id", "code"], unique=True)
    op.create_index("anomalies_open_idx", "anomalies", ["id"], postgresql_where=sa.text("gone_at IS NULL"))


def downgrade() -> None:
    """Undo."""
    op.drop_table("anomalies")
    op.drop_column("subscriptions", "collection_paused")
    op.drop_column("subscriptions", "trial_end")
