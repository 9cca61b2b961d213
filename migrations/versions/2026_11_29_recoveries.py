"""
Recoveries: from which number on revocations, events and versions of entitlements are given after a backup was restored.

Edge servers and other systems remember the highest number they have seen. A restored database would give lower ones again. The
function raises the sequences, which the role of the service may not.

Locks: the table is new, and the function locks nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "recoveries"
down_revision = "retention_progress"
branch_labels = None
depends_on = None

RAISE = """
CREATE FUNCTION raise_sequences(above bigint) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT setval(name, greatest(above, (SELECT max(id) FROM revocations)))
    FROM pg_get_serial_sequence('revocations', 'id') AS name;
    SELECT setval(name, greatest(above, (SELECT max(sequence) FROM outbox_events)))
    FROM pg_get_serial_sequence('outbox_events', 'sequence') AS name
$$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "recoveries",
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("numbers_from", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("since", name=op.f("recoveries_pkey")),
    )
    op.execute(RAISE)
    op.execute("REVOKE EXECUTE ON FUNCTION raise_sequences(bigint) FROM PUBLIC")


def downgrade() -> None:
    """Undo."""
    op.execute("DROP FUNCTION raise_sequences(bigint)")
    op.drop_table("recoveries")
