"""
Postal addresses, label runs, and the printed copies that each term owes.

The running release doesn't know the new columns: they stay empty until a term is derived again, which a label run waits for.

Locks: the tables are new; ACCESS EXCLUSIVE on terms and issues for a moment, to add columns without a default. The indexes on
terms are built CONCURRENTLY (SHARE UPDATE EXCLUSIVE: reads and writes continue), outside a transaction, so each step can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, INT4MULTIRANGE, JSONB

revision = "label_runs"
down_revision = "staff_members"
branch_labels = None
depends_on = None

_INDEXES = {
    "terms_print_from_idx": "terms (print_from) WHERE print_from IS NOT NULL",
    "terms_print_until_idx": "terms (print_until) WHERE print_until IS NOT NULL",
    "terms_copies_ended_at_idx": "terms (copies_ended_at) WHERE copies_ended_at IS NOT NULL",
    "terms_copies_unknown_idx": "terms (subscription_id)"
    " WHERE copies IS NULL AND print_edition AND last_issue IS DISTINCT FROM 0",
}
_ADDRESS = ("name", "company", "line1", "line2", "district", "city", "region", "postal_code")


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "postal_addresses",
        _text("id"),
        _text("subscriber_id"),
        _text("checkout_id", nullable=True),
        *(_text(name, nullable=True) for name in _ADDRESS),
        _text("country"),
        sa.Column("lines", ARRAY(sa.Text()), nullable=True),
        sa.Column("problems", ARRAY(sa.Text()), nullable=False),
        sa.Column("is_usable", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        _time("saved_at", nullable=False),
        _time("replaced_at"),
        _text("work_key"),
        _time("due_at"),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        _text("last_error", nullable=True),
        sa.CheckConstraint(
            "(since IS NULL) = (until IS NULL) AND since < until", name=op.f("postal_addresses_period_complete_check")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name=op.f("postal_addresses_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("postal_addresses_pkey")),
        sa.UniqueConstraint("checkout_id", name=op.f("postal_addresses_checkout_id_key")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("postal_addresses_subscriber_id_idx"), "postal_addresses", ["subscriber_id"], if_not_exists=True
    )
    permanent, due = sa.text("since IS NULL AND replaced_at IS NULL"), sa.text("due_at IS NOT NULL")
    op.create_index(
        "postal_addresses_permanent_idx",
        "postal_addresses",
        ["subscriber_id"],
        unique=True,
        postgresql_where=permanent,
        if_not_exists=True,
    )
    op.create_index(
        "postal_addresses_temporary_idx",
        "postal_addresses",
        ["subscriber_id", "since"],
        postgresql_where=sa.text("since IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "postal_addresses_over_idx",
        "postal_addresses",
        ["replaced_at"],
        postgresql_where=sa.text("replaced_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index(
        "postal_addresses_due_at_idx", "postal_addresses", ["due_at"], postgresql_where=due, if_not_exists=True
    )
    op.create_index(
        "postal_addresses_work_key_idx", "postal_addresses", ["work_key"], postgresql_where=due, if_not_exists=True
    )
    op.create_table(
        "label_runs",
        _text("id"),
        sa.Column("issue_number", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _time("as_of", nullable=False),
        sa.Column("mail_date", sa.Date(), nullable=False),
        _time("frozen_at", nullable=False),
        _text("frozen_by"),
        sa.Column("copies", sa.BigInteger(), nullable=False),
        sa.Column("control_sum", sa.BigInteger(), nullable=False),
        sa.Column("counts", JSONB(), nullable=False),
        sa.Column("columns", JSONB(), nullable=False),
        _time("emptied_at"),
        sa.ForeignKeyConstraint(["issue_number"], ["issues.number"], name=op.f("label_runs_issue_number_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("label_runs_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "label_runs_issue_number_idx", "label_runs", ["issue_number", "number"], unique=True, if_not_exists=True
    )
    op.create_index("label_runs_frozen_at_idx", "label_runs", ["frozen_at"], if_not_exists=True)
    op.create_table(
        "labels",
        _text("run_id"),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("issue_number", sa.BigInteger(), nullable=False),
        _text("subscription_id"),
        _text("term"),
        _text("address_id"),
        _text("kind"),
        _text("claim_id"),
        *(_text(name, nullable=True) for name in _ADDRESS),
        _text("country"),
        sa.Column("lines", ARRAY(sa.Text()), nullable=True),
        _text("band"),
        sa.Column("expire", sa.BigInteger(), nullable=True),
        sa.Column("control", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(kind = 'replacement') = (claim_id <> '')", name=op.f("labels_claim_of_replacement_check")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("labels_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "labels_once_idx",
        "labels",
        ["subscription_id", "issue_number", "kind", "claim_id"],
        unique=True,
        if_not_exists=True,
    )
    op.create_index(
        "labels_erased_idx", "labels", ["run_id"], postgresql_where=sa.text("lines IS NULL"), if_not_exists=True
    )
    op.add_column("issues", _time("frozen_at"), if_not_exists=True)
    op.add_column("terms", sa.Column("copies", INT4MULTIRANGE(), nullable=True), if_not_exists=True)
    op.add_column("terms", _time("copies_ended_at"), if_not_exists=True)
    op.add_column("terms", sa.Column("expire", sa.BigInteger(), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        for name, columns in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {columns}")


def downgrade() -> None:
    """Undo."""
    with op.get_context().autocommit_block():
        for name in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    for column in ("expire", "copies_ended_at", "copies"):
        op.drop_column("terms", column)
    op.drop_column("issues", "frozen_at")
    op.drop_table("labels")
    op.drop_table("label_runs")
    op.drop_table("postal_addresses")
