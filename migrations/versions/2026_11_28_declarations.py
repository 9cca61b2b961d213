"""
Evidence: declarations of readers who leave, with their acknowledgments, and what readers agreed to when they subscribed.

What was received never changes: triggers let the service's role change only the outcome of a declaration, empty what says who
the reader is when they are erased, and delete a row only after three years, or a consent that nobody paid for. The running
release doesn't know the tables.

Locks: the tables are new. Their foreign keys take SHARE ROW EXCLUSIVE on subscribers and subscriptions for a moment: an empty
table has nothing to check. Every statement can be repeated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "declarations"
down_revision = "notifications"
branch_labels = None
depends_on = None

GUARD = """
CREATE OR REPLACE FUNCTION declarations_keep_what_was_received() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed declarations := NEW;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.received_at > now() - interval '3 years' THEN
            RAISE EXCEPTION 'declarations are kept for three years';
        END IF;
        RETURN OLD;
    END IF;
    allowed.status := OLD.status;
    allowed.ends_at := OLD.ends_at;
    allowed.refund_id := OLD.refund_id;
    allowed.settled_by := OLD.settled_by;
    allowed.settled_at := OLD.settled_at;
    IF NEW.words = '{}' AND NEW.acknowledgment = '' THEN
        allowed.words := OLD.words;
        allowed.acknowledgment := OLD.acknowledgment;
    END IF;
    IF OLD.subscriber_id IS NULL THEN
        allowed.subscriber_id := NULL;
    END IF;
    IF OLD.subscription_id IS NULL THEN
        allowed.subscription_id := NULL;
    END IF;
    IF allowed IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'what a declaration says never changes';
    END IF;
    RETURN NEW;
END $$
"""

GUARD_CONSENTS = """
CREATE OR REPLACE FUNCTION consents_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed consents := NEW;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.agreed_at > now() - interval '3 years'
            AND EXISTS (SELECT FROM checkouts c WHERE c.id = OLD.checkout_id AND c.status NOT IN ('expired', 'failed')) THEN
            RAISE EXCEPTION 'consents are kept for three years';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.ip IS NULL AND NEW.user_agent IS NULL AND NEW.digest = OLD.id THEN -- the digest could be used to find the address
        allowed.ip := OLD.ip;
        allowed.user_agent := OLD.user_agent;
        allowed.digest := OLD.digest;
    END IF;
    IF allowed IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'a consent never changes';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "consents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("checkout_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("agreed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shown", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("terms_version", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("consents_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("consents_pkey")),
        if_not_exists=True,
    )
    op.create_index("consents_once_idx", "consents", ["checkout_id", "digest"], unique=True, if_not_exists=True)
    op.create_index("consents_subscriber_id_idx", "consents", ["subscriber_id", "agreed_at", "id"], if_not_exists=True)
    op.create_index("consents_agreed_at_idx", "consents", ["agreed_at"], if_not_exists=True)
    op.execute(GUARD_CONSENTS)
    op.execute(
        "CREATE OR REPLACE TRIGGER consents_guard BEFORE UPDATE OR DELETE ON consents"
        " FOR EACH ROW EXECUTE FUNCTION consents_never_change()"
    )
    op.create_table(
        "declarations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("words", postgresql.JSONB(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("law", sa.Text(), nullable=True),
        sa.Column("acknowledgment", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("declarations_subscriber_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("declarations_subscription_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("declarations_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "declarations_subscriber_id_idx", "declarations", ["subscriber_id", "received_at", "id"], if_not_exists=True
    )
    op.create_index(
        "declarations_withdrawal_once_idx",
        "declarations",
        ["subscription_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'withdrawal'"),
        if_not_exists=True,
    )
    op.create_index(
        "declarations_queued_idx",
        "declarations",
        ["received_at", "id"],
        postgresql_where=sa.text("status = 'queued'"),
        if_not_exists=True,
    )
    op.create_index("declarations_received_at_idx", "declarations", ["received_at"], if_not_exists=True)
    op.execute(GUARD)
    op.execute(
        "CREATE OR REPLACE TRIGGER declarations_guard BEFORE UPDATE OR DELETE ON declarations"
        " FOR EACH ROW EXECUTE FUNCTION declarations_keep_what_was_received()"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("consents")
    op.execute("DROP FUNCTION consents_never_change()")
    op.drop_table("declarations")
    op.execute("DROP FUNCTION declarations_keep_what_was_received()")
