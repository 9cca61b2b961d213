"""Price migrations of plans, and the change of each subscription."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class PriceMigration(Base, Due):
    """A migration. ``due_at`` is set while its subscriptions are being listed."""

    __tablename__ = "price_migrations"
    id: Mapped[str] = mapped_column(primary_key=True)  # pmg_…
    plan: Mapped[str]
    currency: Mapped[str]
    targets: Mapped[list[JSON]] = mapped_column(JSONB)  # component, price_id, amount
    versions: Mapped[list[str]]  # the IDs of the prices that are replaced, if a subscription has one
    from_at: Mapped[datetime]
    status: Mapped[str]  # planning, running, stopped, finished
    publisher_sends_notices: Mapped[bool]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]  # policy time, as the next two
    ended_at: Mapped[datetime | None]
    list_again_at: Mapped[datetime | None]  # for checkouts that were open when it started
    __table_args__ = (
        Index(
            "price_migrations_one_unfinished_idx",
            "plan",
            unique=True,
            postgresql_where=text("status IN ('planning', 'running')"),
        ),
        Index("price_migrations_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("price_migrations_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
    )


class PriceChange(Base, Due):
    """The change of one subscription. Amounts in minor units. Times are policy time, except ``due_at``."""

    __tablename__ = "price_changes"
    id: Mapped[str] = mapped_column(primary_key=True)  # pcg_…
    migration_id: Mapped[str] = mapped_column(ForeignKey("price_migrations.id"))
    stripe_id: Mapped[str]  # of the subscription
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"), index=True)
    status: Mapped[str]  # planned, announced, switching, switched, completed, left_out, stopped
    reason: Mapped[str | None]
    currency: Mapped[str]
    items: Mapped[list[JSON]] = mapped_column(JSONB)
    renewal_at: Mapped[datetime | None]
    total: Mapped[int | None]  # of the renewal, with discounts and tax, as announced
    tax: Mapped[int | None]
    before: Mapped[int | None]  # the total at the old price
    announced_at: Mapped[datetime | None]
    notices: Mapped[int] = mapped_column(server_default="0")
    act_at: Mapped[datetime | None]  # when it is looked at next
    __table_args__ = (
        UniqueConstraint("migration_id", "stripe_id"),
        Index("price_changes_migration_id_status_id_idx", "migration_id", "status", "id"),
        Index("price_changes_act_at_idx", "act_at", postgresql_where=text("act_at IS NOT NULL")),
        Index("price_changes_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("price_changes_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
    )
