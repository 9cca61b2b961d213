"""
The calendar of issues, the adjustments of terms, and the work that a change of the calendar queues.

Locks: the new tables are empty. Their foreign keys take SHARE ROW EXCLUSIVE on terms and subscriptions for a moment. Adding the
nullable column terms.last_issue takes ACCESS EXCLUSIVE for a moment and rewrites nothing. The indexes on terms are built
CONCURRENTLY, so writes continue, and can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "issues"
down_revision = "limits"
branch_labels = None
depends_on = None

APPEND_ONLY = """
CREATE OR REPLACE FUNCTION rows_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$
"""
GUARD = """
CREATE OR REPLACE TRIGGER issue_adjustments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON issue_adjustments
FOR EACH STATEMENT EXECUTE FUNCTION rows_are_append_only()
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "issues",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("cover_date", sa.Date(), nullable=False),
        sa.Column("planned_mail_date", sa.Date(), nullable=False),
        sa.Column("actual_mail_date", sa.Date(), nullable=True),
        sa.Column("label_cutoff", sa.Date(), nullable=False),
        sa.Column("counts_as", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("counts_as IN (0, 1, 2)", name=op.f("issues_counts_as_known_check")),
        sa.CheckConstraint(
            "label_cutoff <= coalesce(actual_mail_date, planned_mail_date)",
            name=op.f("issues_cutoff_before_mailing_check"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("issues_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "calendar_edition",
        sa.Column("id", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.CheckConstraint("id", name=op.f("calendar_edition_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("calendar_edition_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "issue_adjustments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("issues", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("issues <> 0", name=op.f("issue_adjustments_issues_not_zero_check")),
        sa.ForeignKeyConstraint(["invoice_id"], ["terms.invoice_id"], name=op.f("issue_adjustments_invoice_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("issue_adjustments_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("issue_adjustments_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        op.f("issue_adjustments_invoice_id_idx"), "issue_adjustments", ["invoice_id"], unique=False, if_not_exists=True
    )
    op.create_index(
        op.f("issue_adjustments_subscription_id_idx"),
        "issue_adjustments",
        ["subscription_id"],
        unique=False,
        if_not_exists=True,
    )
    op.execute(APPEND_ONLY)
    op.execute(GUARD)
    op.create_table(
        "calendar_work",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("told", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("change", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("calendar_work_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "calendar_work_due_at_idx",
        "calendar_work",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        if_not_exists=True,
    )
    op.create_index("calendar_work_work_key_idx", "calendar_work", ["work_key"], unique=False, if_not_exists=True)
    op.add_column("terms", sa.Column("last_issue", sa.BigInteger(), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        for name, column in (("terms_last_issue_idx", "last_issue"), ("terms_starts_at_idx", "starts_at")):
            op.drop_index(name, table_name="terms", if_exists=True, postgresql_concurrently=True)
            op.create_index(name, "terms", [column], unique=False, postgresql_concurrently=True)


def downgrade() -> None:
    """Take back."""
    with op.get_context().autocommit_block():
        for name in ("terms_starts_at_idx", "terms_last_issue_idx"):
            op.drop_index(name, table_name="terms", if_exists=True, postgresql_concurrently=True)
    op.drop_column("terms", "last_issue")
    op.drop_table("calendar_work")
    op.drop_table("issue_adjustments")
    op.execute("DROP FUNCTION rows_are_append_only()")
    op.drop_table("calendar_edition")
    op.drop_table("issues")
