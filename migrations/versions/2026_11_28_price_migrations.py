"""
Price migrations, and the change of each subscription.

Locks: the tables are new. Their foreign keys take SHARE ROW EXCLUSIVE on subscriptions and subscribers for a moment.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "price_migrations"
down_revision = "declarations"
branch_labels = None
depends_on = None

DUE = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "price_migrations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("targets", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("versions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("publisher_sends_notices", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("list_again_at", sa.DateTime(timezone=True), nullable=True),
        *_due_columns(),
        sa.PrimaryKeyConstraint("id", name=op.f("price_migrations_pkey")),
    )
    op.create_index(
        "price_migrations_one_unfinished_idx",
        "price_migrations",
        ["plan"],
        unique=True,
        postgresql_where=sa.text("status IN ('planning', 'running')"),
    )
    op.create_table(
        "price_changes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("migration_id", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("items", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("renewal_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("tax", sa.BigInteger(), nullable=True),
        sa.Column("before", sa.BigInteger(), nullable=True),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notices", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("act_at", sa.DateTime(timezone=True), nullable=True),
        *_due_columns(),
        sa.ForeignKeyConstraint(
            ["migration_id"], ["price_migrations.id"], name=op.f("price_changes_migration_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("price_changes_subscription_id_fkey")
        ),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("price_changes_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("price_changes_pkey")),
        sa.UniqueConstraint("migration_id", "stripe_id", name=op.f("price_changes_migration_id_stripe_id_key")),
    )
    for column in ("subscription_id", "subscriber_id"):
        op.create_index(op.f(f"price_changes_{column}_idx"), "price_changes", [column], unique=False)
    op.create_index(
        "price_changes_migration_id_status_id_idx", "price_changes", ["migration_id", "status", "id"], unique=False
    )
    op.create_index(
        "price_changes_act_at_idx", "price_changes", ["act_at"], postgresql_where=sa.text("act_at IS NOT NULL")
    )
    for table in ("price_migrations", "price_changes"):
        for column in ("due_at", "work_key"):
            op.create_index(f"{table}_{column}_idx", table, [column], unique=False, postgresql_where=DUE)


def _due_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
    ]


def downgrade() -> None:
    """Take back."""
    op.drop_table("price_changes")
    op.drop_table("price_migrations")
