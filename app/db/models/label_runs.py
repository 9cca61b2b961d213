"""Label runs: who got a copy of an issue, and at which address."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text, true
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base


class LabelRun(Base):
    """A frozen list of labels of an issue: the run at its cut-off (number 0), or a supplement (from 1)."""

    __tablename__ = "label_runs"
    id: Mapped[str] = mapped_column(primary_key=True)  # lbl_…
    issue_number: Mapped[int] = mapped_column(ForeignKey("issues.number"))
    number: Mapped[int]
    as_of: Mapped[datetime]  # the time of the addresses: the cut-off; of a supplement, when it was frozen
    mail_date: Mapped[date]  # the day on which the addresses must be valid
    frozen_at: Mapped[datetime]  # policy time
    frozen_by: Mapped[str]
    copies: Mapped[int]
    control_sum: Mapped[int]  # of the column ``control``
    counts: Mapped[JSON]  # by country and band, and of each flag
    columns: Mapped[JSON]  # of the file, as they were configured
    emptied_at: Mapped[datetime | None]  # when the addresses were removed, because they were kept long enough
    electronic: Mapped[
        int | None
    ]  # how many electronic copies are frozen with it; NULL: a supplement, or an earlier release
    announced: Mapped[int | None]  # the last position that the outbox has as mailed; NULL: before it was recorded
    addresses_announced: Mapped[bool] = mapped_column(server_default=true())  # who has none is in the outbox
    addresses_through: Mapped[str] = mapped_column(server_default="")  # the subscription until which that is so
    __table_args__ = (
        Index("label_runs_issue_number_idx", "issue_number", "number", unique=True),
        Index("label_runs_frozen_at_idx", "frozen_at"),
    )


class Label(Base):
    """
    A copy of an issue for a subscription. The columns of the address are NULL once the reader is erased.

    No foreign keys, because a million would be checked one by one. Labels and runs are never deleted.
    """

    __tablename__ = "labels"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # in the order of the post office
    issue_number: Mapped[int]
    subscription_id: Mapped[str]
    term: Mapped[str]  # the invoice that opened it; of a back issue, empty
    address_id: Mapped[str]
    kind: Mapped[str]  # copy, replacement, back_issue
    claim_id: Mapped[str]  # of a replacement; of a back issue, its order; otherwise empty
    name: Mapped[str | None]
    company: Mapped[str | None]
    line1: Mapped[str | None]
    line2: Mapped[str | None]
    district: Mapped[str | None]
    city: Mapped[str | None]
    region: Mapped[str | None]
    postal_code: Mapped[str | None]
    country: Mapped[str]
    lines: Mapped[list[str] | None]
    band: Mapped[str]
    expire: Mapped[int | None]
    control: Mapped[int]  # 0 to 999999
    flags: Mapped[int]  # see app.domain.label_runs.Flag
    # How the copy counts in the circulation statement. NULL: an earlier release froze it.
    mail_class: Mapped[str | None]  # outside_county, in_county, other_mail
    is_paid: Mapped[bool | None]
    amount_paid: Mapped[int | None]  # for its term, less what was returned
    __table_args__ = (
        CheckConstraint("(kind = 'copy') = (claim_id = '')", name="claim_or_order"),
        # One copy of an issue for a subscription, one replacement for each granted claim, and one for each order.
        Index("labels_once_idx", "subscription_id", "issue_number", "kind", "claim_id", unique=True),
        Index("labels_erased_idx", "run_id", postgresql_where=text("lines IS NULL")),
    )


class ElectronicCopy(Base):
    """
    A paid electronic copy of an issue, for the circulation statement: a paid term without print at the label cut-off.

    No foreign keys, because a million would be checked one by one.
    """

    __tablename__ = "electronic_copies"
    issue_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    term: Mapped[str]  # the invoice that opened it
    amount_paid: Mapped[int]  # for the term, less what was returned
