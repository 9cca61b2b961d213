"""
Former email addresses and names of readers, and whether the identity provider has verified the current address.

Locks: ACCESS EXCLUSIVE on subscribers for a moment, to add columns without a default or with a constant one, which rewrites
nothing; SHARE ROW EXCLUSIVE on subscribers for a moment, for the foreign key of a table that is new and empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "contacts"
down_revision = "refund_failed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "subscribers", sa.Column("email_verified", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("subscribers", sa.Column("contact_as_of", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "contact_changes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("contact_changes_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("contact_changes_pkey")),
    )
    op.create_index(op.f("contact_changes_subscriber_id_idx"), "contact_changes", ["subscriber_id"])
    op.create_index(
        "contact_changes_due_at_idx", "contact_changes", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    for name, expression in (
        ("email_prefix", "lower(email)"),
        ("name_prefix", "lower(name)"),
        ("last_name", r"lower(regexp_replace(name, '^.*\s', ''))"),
    ):
        op.execute(f"CREATE INDEX contact_changes_{name}_idx ON contact_changes ({expression} text_pattern_ops)")


def downgrade() -> None:
    """Undo."""
    op.drop_table("contact_changes")
    op.drop_column("subscribers", "contact_as_of")
    op.drop_column("subscribers", "email_verified")
