"""
Parts of readers' names for the search, the card of each subscription, and indexes for the filters of the list of readers.

A worker adds the parts of the existing names in short slices: every name that differs from ``indexed_name`` is due. So are
those that the release before stores meanwhile.

Locks: SHARE ROW EXCLUSIVE on subscribers for a moment, for the foreign key of a table that is new and empty; ACCESS EXCLUSIVE
on subscribers and subscriptions for a moment, to add columns without a default, which rewrites nothing. The indexes are built
and dropped CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction. An incomplete index is
dropped first, so that the step can be repeated. Without the dropped ones, the release before still finds names, but reads
the whole table.
"""

import sqlalchemy as sa
from alembic import op

revision = "reader_search"
down_revision = "label_runs"
branch_labels = None
depends_on = None

_NEW = {
    "subscribers_unindexed_idx": "subscribers (id) WHERE name IS DISTINCT FROM indexed_name",
    "subscribers_created_at_idx": "subscribers (created_at, id)",
    "subscriptions_status_idx": "subscriptions (status, print_edition, created_at, id)",
    "subscriptions_plan_status_idx": "subscriptions (plan, status, print_edition, created_at, id)",
    "subscriptions_cancel_at_idx": "subscriptions (cancel_at, id) WHERE cancel_at IS NOT NULL AND ended_at IS NULL",
    "subscriptions_card_last4_idx": "subscriptions (card_last4, created_at, id)",
    "comps_until_idx": "comps (until, id) WHERE removed_at IS NULL",
}
_OLD = {
    f"{table}_{name}_idx": f"{table} ({expression} text_pattern_ops)"
    for table in ("subscribers", "contact_changes")
    for name, expression in (
        ("name_prefix", "lower(name)"),
        ("last_name", r"lower(regexp_replace(name, '^.*\s', ''))"),
    )
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "reader_name_parts",
        sa.Column("part", sa.Text(collation="C"), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("reader_name_parts_subscriber_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("part", "subscriber_id", name=op.f("reader_name_parts_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("reader_name_parts_subscriber_id_idx"), "reader_name_parts", ["subscriber_id"], if_not_exists=True
    )
    op.execute("ALTER TABLE subscribers ADD COLUMN IF NOT EXISTS indexed_name text")
    op.execute(
        "ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS card_brand text, ADD COLUMN IF NOT EXISTS card_last4 text"
    )
    with op.get_context().autocommit_block():
        _create(_NEW)
        _drop(_OLD)


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        _create(_OLD)
        _drop(_NEW)
    op.drop_column("subscriptions", "card_last4")
    op.drop_column("subscriptions", "card_brand")
    op.drop_column("subscribers", "indexed_name")
    op.drop_table("reader_name_parts")


def _create(indexes: dict[str, str]) -> None:
    for name, columns in indexes.items():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")


def _drop(indexes: dict[str, str]) -> None:
    for name in indexes:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
