"""
The tables of the main path, and an append-only audit log.

Locks: every table is new, so nothing waits. The foreign keys lock only tables of this migration.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AUDIT_IS_APPEND_ONLY = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$
"""
GUARD = """
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_keys_hash_key")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index(op.f("audit_log_object_id_idx"), "audit_log", ["object_id"], unique=False)
    op.create_index(op.f("audit_log_subscriber_id_idx"), "audit_log", ["subscriber_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=True),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
    )
    op.create_index("events_dead_idx", "events", ["state"], unique=False, postgresql_where=sa.text("state = 'dead'"))
    op.create_index(
        "events_due_at_idx", "events", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index("events_received_at_idx", "events", ["received_at"], unique=False)
    op.create_index(
        "events_unapplied_idx",
        "events",
        ["work_key"],
        unique=False,
        postgresql_where=sa.text("state IN ('failed', 'dead')"),
    )
    op.create_index(
        "events_work_key_idx", "events", ["work_key"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("running_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "route", "key", name=op.f("idempotent_requests_pkey")),
    )
    op.create_index(op.f("idempotent_requests_created_at_idx"), "idempotent_requests", ["created_at"], unique=False)
    op.create_table(
        "intents",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("intents_pkey")),
    )
    op.create_index("intents_row_id_action_idx", "intents", ["row_id", "action", "attempt"], unique=True)
    op.create_table(
        "leases",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("leases_pkey")),
    )
    op.create_index(op.f("leases_until_idx"), "leases", ["until"], unique=False)
    op.create_table(
        "subscribers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("stripe_customer_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("subscribers_pkey")),
        sa.UniqueConstraint("stripe_customer_id", name=op.f("subscribers_stripe_customer_id_key")),
        sa.UniqueConstraint("sub", name=op.f("subscribers_sub_key")),
    )
    op.create_index(
        "subscribers_email_prefix_idx",
        "subscribers",
        [sa.literal_column("lower(email)").label("beginning")],
        unique=False,
        postgresql_ops={"beginning": "text_pattern_ops"},
    )
    op.create_index(
        "subscribers_name_prefix_idx",
        "subscribers",
        [sa.literal_column("lower(name)").label("beginning")],
        unique=False,
        postgresql_ops={"beginning": "text_pattern_ops"},
    )
    op.create_table(
        "checkouts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=True),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("print_edition", sa.Boolean(), nullable=False),
        sa.Column("promotion_code", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payment_status", sa.Text(), server_default="unpaid", nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stripe_subscription_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("checkouts_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("checkouts_pkey")),
        sa.UniqueConstraint("stripe_id", name=op.f("checkouts_stripe_id_key")),
    )
    op.create_index(
        "checkouts_one_open_idx",
        "checkouts",
        ["subscriber_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('opening', 'open')"),
    )
    op.create_index(op.f("checkouts_subscriber_id_idx"), "checkouts", ["subscriber_id"], unique=False)
    op.create_table(
        "entitlements",
        sa.Column("sub", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("access", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("entitlements_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("sub", name=op.f("entitlements_pkey")),
        sa.UniqueConstraint("subscriber_id", name=op.f("entitlements_subscriber_id_key")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("stripe_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("print_edition", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("price_amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_here_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("subscriptions_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("subscriptions_pkey")),
        sa.UniqueConstraint("stripe_id", name=op.f("subscriptions_stripe_id_key")),
    )
    op.create_index(
        "subscriptions_due_at_idx",
        "subscriptions",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(op.f("subscriptions_subscriber_id_idx"), "subscriptions", ["subscriber_id"], unique=False)
    op.create_table(
        "grants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("grants_subscriber_id_fkey")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("grants_subscription_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("grants_pkey")),
    )
    op.create_index(op.f("grants_subscriber_id_idx"), "grants", ["subscriber_id"], unique=False)
    op.create_index(op.f("grants_subscription_id_idx"), "grants", ["subscription_id"], unique=False)
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("billing_reason", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("payments_subscription_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("payments_pkey")),
    )
    op.create_index(op.f("payments_invoice_id_idx"), "payments", ["invoice_id"], unique=False)
    op.create_index(op.f("payments_subscription_id_idx"), "payments", ["subscription_id"], unique=False)
    op.create_table(
        "terms",
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("print_edition", sa.Boolean(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issues_owed", sa.BigInteger(), nullable=False),
        sa.Column("refunded_as", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("terms_subscription_id_fkey")),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("terms_pkey")),
    )
    op.create_index(op.f("terms_subscription_id_idx"), "terms", ["subscription_id"], unique=False)
    op.create_table(
        "refunds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("subscriber_id", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stripe_refund_id", sa.Text(), nullable=True),
        sa.Column("credit_note_id", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("work_key", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("refunds_amount_positive_check")),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name=op.f("refunds_payment_id_fkey")),
        sa.ForeignKeyConstraint(["subscriber_id"], ["subscribers.id"], name=op.f("refunds_subscriber_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("stripe_refund_id", name=op.f("refunds_stripe_refund_id_key")),
    )
    op.create_index(
        "refunds_due_at_idx", "refunds", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_index(
        "refunds_one_guarantee_idx",
        "refunds",
        ["subscriber_id", "payment_id"],
        unique=True,
        postgresql_where=sa.text("basis = 'guarantee' AND status NOT IN ('failed', 'canceled')"),
    )
    op.create_index(
        "refunds_one_unresolved_idx",
        "refunds",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("status = 'processing'"),
    )
    op.create_index(op.f("refunds_payment_id_idx"), "refunds", ["payment_id"], unique=False)
    op.create_index(op.f("refunds_subscriber_id_idx"), "refunds", ["subscriber_id"], unique=False)
    op.execute(AUDIT_IS_APPEND_ONLY)
    op.execute(GUARD)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("refunds_subscriber_id_idx"), table_name="refunds")
    op.drop_index(op.f("refunds_payment_id_idx"), table_name="refunds")
    op.drop_index("refunds_one_unresolved_idx", table_name="refunds", postgresql_where=sa.text("status = 'processing'"))
    op.drop_index(
        "refunds_one_guarantee_idx",
        table_name="refunds",
        postgresql_where=sa.text("basis = 'guarantee' AND status NOT IN ('failed', 'canceled')"),
    )
    op.drop_index("refunds_due_at_idx", table_name="refunds", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_table("refunds")
    op.drop_index(op.f("terms_subscription_id_idx"), table_name="terms")
    op.drop_table("terms")
    op.drop_index(op.f("payments_subscription_id_idx"), table_name="payments")
    op.drop_index(op.f("payments_invoice_id_idx"), table_name="payments")
    op.drop_table("payments")
    op.drop_index(op.f("grants_subscription_id_idx"), table_name="grants")
    op.drop_index(op.f("grants_subscriber_id_idx"), table_name="grants")
    op.drop_table("grants")
    op.drop_index(op.f("subscriptions_subscriber_id_idx"), table_name="subscriptions")
    op.drop_index(
        "subscriptions_due_at_idx", table_name="subscriptions", postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.drop_table("subscriptions")
    op.drop_table("entitlements")
    op.drop_index(op.f("checkouts_subscriber_id_idx"), table_name="checkouts")
    op.drop_index(
        "checkouts_one_open_idx", table_name="checkouts", postgresql_where=sa.text("status IN ('opening', 'open')")
    )
    op.drop_table("checkouts")
    op.drop_index(
        "subscribers_name_prefix_idx", table_name="subscribers", postgresql_ops={"beginning": "text_pattern_ops"}
    )
    op.drop_index(
        "subscribers_email_prefix_idx", table_name="subscribers", postgresql_ops={"beginning": "text_pattern_ops"}
    )
    op.drop_table("subscribers")
    op.drop_index(op.f("leases_until_idx"), table_name="leases")
    op.drop_table("leases")
    op.drop_index("intents_row_id_action_idx", table_name="intents")
    op.drop_table("intents")
    op.drop_index(op.f("idempotent_requests_created_at_idx"), table_name="idempotent_requests")
    op.drop_table("idempotent_requests")
    op.drop_index("events_work_key_idx", table_name="events", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_index("events_unapplied_idx", table_name="events", postgresql_where=sa.text("state IN ('failed', 'dead')"))
    op.drop_index("events_received_at_idx", table_name="events")
    op.drop_index("events_due_at_idx", table_name="events", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_index("events_dead_idx", table_name="events", postgresql_where=sa.text("state = 'dead'"))
    op.drop_table("events")
    op.drop_index(op.f("audit_log_subscriber_id_idx"), table_name="audit_log")
    op.drop_index(op.f("audit_log_object_id_idx"), table_name="audit_log")
    op.drop_table("audit_log")
    op.drop_table("api_keys")
    op.execute("DROP FUNCTION audit_is_append_only()")
