"""
The signing keys of entitlement tokens, the feed of revocations, and a notification of each changed entitlement.

A trigger sends the notification, so that it is sent for every change: by Newsstand, a migration, an import or a manual command.

Locks: both tables are new. CREATE TRIGGER takes SHARE ROW EXCLUSIVE on entitlements for a moment: reads continue, writes wait,
and no row is scanned.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "asking"
down_revision = "issues"
branch_labels = None
depends_on = None

TELL = """
CREATE FUNCTION tell_of_entitlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('newsstand_entitlements', COALESCE(NEW.sub, OLD.sub));
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER tell_of_entitlement AFTER INSERT OR UPDATE OR DELETE ON entitlements
FOR EACH ROW EXECUTE FUNCTION tell_of_entitlement()
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "revocations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("revocations_pkey")),
    )
    op.create_index(op.f("revocations_at_idx"), "revocations", ["at"])
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("public", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signs_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("signing_keys_pkey")),
    )
    op.execute(TELL)
    op.execute(TRIGGER)


def downgrade() -> None:
    """Take back."""
    op.execute("DROP TRIGGER tell_of_entitlement ON entitlements")
    op.execute("DROP FUNCTION tell_of_entitlement()")
    op.drop_table("signing_keys")
    op.drop_table("revocations")
