"""
Console sessions, logout tokens that were used, and the life of API keys.

Sessions of the running release are in cookies only, so its staff sign in once more after the upgrade. Its API keys stay
valid: their new columns are empty.

Locks: the tables are new; ACCESS EXCLUSIVE on api_keys for a moment, to add columns without a default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "staff_sessions"
down_revision = "erasures"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "staff_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("sid", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acr", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checking_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refresh_token", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("staff_sessions_pkey")),
    )
    op.create_index(op.f("staff_sessions_sub_idx"), "staff_sessions", ["sub"])
    op.create_index(op.f("staff_sessions_sid_idx"), "staff_sessions", ["sid"])
    op.create_index(op.f("staff_sessions_started_at_idx"), "staff_sessions", ["started_at"])
    op.create_table(
        "logout_tokens",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("logout_tokens_pkey")),
    )
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("created_by", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("replaced_by", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    for column in ("replaced_by", "created_by", "last_used_at", "expires_at"):
        op.drop_column("api_keys", column)
    op.drop_table("logout_tokens")
    op.drop_table("staff_sessions")
