"""
Changes of entitlements that processes find by themselves, and revocations that get their number after the commit.

``entitlements.changed_in`` is the transaction that changed the row. The new release sets it, and notifies after the commit.
For every other writer, such as the release before it or a manual command, a trigger sets it and notifies in the transaction, as
before.

Locks: the column has no default, so ADD COLUMN only takes ACCESS EXCLUSIVE on entitlements for a moment, like the exchange
of the triggers. The table is new.
"""

import sqlalchemy as sa
from alembic import op

revision = "change_feed"
down_revision = "staff_sessions"
branch_labels = None
depends_on = None

NOTE = """
CREATE OR REPLACE FUNCTION note_entitlement_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id()::text::bigint;
    PERFORM pg_notify('newsstand_entitlements', NEW.sub);
    RETURN NEW;
END $$
"""
NOTE_TRIGGER = """
CREATE TRIGGER note_entitlement_change BEFORE INSERT OR UPDATE ON entitlements
FOR EACH ROW WHEN (NEW.changed_in IS DISTINCT FROM pg_current_xact_id()::text::bigint)
EXECUTE FUNCTION note_entitlement_change()
"""
TELL_OF_DELETION = """
CREATE TRIGGER tell_of_entitlement AFTER DELETE ON entitlements
FOR EACH ROW EXECUTE FUNCTION tell_of_entitlement()
"""
TELL_OF_ALL = """
CREATE TRIGGER tell_of_entitlement AFTER INSERT OR UPDATE OR DELETE ON entitlements
FOR EACH ROW EXECUTE FUNCTION tell_of_entitlement()
"""
PUBLISH = """
CREATE FUNCTION publish_revocations() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(6207110);  -- numbers become visible in order; the release before holds it, too
    WITH committed AS (DELETE FROM pending_revocations RETURNING id, sub, version)
    INSERT INTO revocations (sub, version) SELECT sub, version FROM committed ORDER BY id;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.add_column("entitlements", sa.Column("changed_in", sa.BigInteger(), nullable=True))
    op.execute(NOTE)
    op.execute("DROP TRIGGER tell_of_entitlement ON entitlements")
    op.execute(NOTE_TRIGGER)
    op.execute(TELL_OF_DELETION)
    op.create_table(
        "pending_revocations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pending_revocations_pkey")),
    )
    op.execute(PUBLISH)


def downgrade() -> None:
    """Undo."""
    op.execute("SELECT publish_revocations()")
    op.execute("DROP FUNCTION publish_revocations()")
    op.drop_table("pending_revocations")
    op.execute("DROP TRIGGER note_entitlement_change ON entitlements")
    op.execute("DROP TRIGGER tell_of_entitlement ON entitlements")
    op.execute("DROP FUNCTION note_entitlement_change()")
    op.drop_column("entitlements", "changed_in")
    op.execute(TELL_OF_ALL)
