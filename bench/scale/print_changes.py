"""Changes of the print edition."""

from datetime import timedelta

from app.db import print_changes
from app.domain.print_changes import PrintChange, PrintChangeKind, PrintChangeStatus
from bench.scale.subject import Subject, query


def _change(s: Subject) -> PrintChange:
    return PrintChange(
        id="pch_new",
        subscription_id=s.id("scr", 99),
        subscriber_id=s.id("rdr", 99),
        kind=PrintChangeKind.ADD,
        status=PrintChangeStatus.PROCESSING,
        issues=12,
        first_issue=13,
        price=1200,
        total=1200,
        tax=0,
        due=1200,
        currency="usd",
        price_id="price_new",
        starts_at=s.now,
        ends_at=s.now + timedelta(days=180),
        requested_by=f"reader:{s.reader}",
        created_at=s.now,
    )


PRINT_CHANGES = (
    query("print_changes.insert", lambda s: print_changes.insert(s.session, _change(s))),
    query("print_changes.by_id", lambda s: print_changes.by_id(s.session, s.id("pch"))),
    query("print_changes.undecided", lambda s: print_changes.undecided(s.session, s.subscription)),
    query("print_changes.dropped", lambda s: print_changes.dropped(s.session, s.subscription)),
    query("print_changes.latest", lambda s: print_changes.latest(s.session, s.subscription)),
    query("print_changes.returned_invoices", lambda s: print_changes.returned_invoices(s.session, s.subscription)),
    query("print_changes.set_invoice", lambda s: print_changes.set_invoice(s.session, s.id("pch"), "in_new")),
    query("print_changes.set_dropped", lambda s: print_changes.set_dropped(s.session, s.id("pch"), [s.now])),
    query("print_changes.set_to_balance", lambda s: print_changes.set_to_balance(s.session, s.id("pch"), {"in_1": 1})),
    query("print_changes.set_status", lambda s: print_changes.set_status(s.session, s.id("pch"), "failed")),
    query("print_changes.set_due", lambda s: print_changes.set_due(s.session, s.id("pch"))),
    query(
        "print_changes.make_paid_due",
        lambda s: print_changes.make_paid_due(s.session, s.subscription, "in_1", s.now),
    ),
    query("print_changes.make_due", lambda s: print_changes.make_due(s.session, s.ids("pch", 3))),
)
