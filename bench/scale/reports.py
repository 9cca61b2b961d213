"""The reports. Each reads all payments, as the books need it."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from app.db import circulation, liability
from app.db.circulation import CountedIssue
from app.db.engine.copying import CsvExports
from app.db.liability import Closing, Moment
from app.domain.circulation import ELECTRONIC, EnteredCounts
from app.domain.liability import DAY, NOTHING, EarningRules
from bench.scale.labels import COUNTING
from bench.scale.subject import NOW, PAGE, ZONE, Subject, query

EVERY_LABEL = "it counts all labels of a year's issues, once a year"
COUNTED = [
    CountedIssue(
        number=number,
        closes_at=datetime(2026, 4, 22, tzinfo=UTC),
        paid_percent=30,
    )
    for number in (1, 2)
]
EVERY_PAYMENT = "it adds up all payments, when somebody asks for a report or closes a month"
MONTH = date(2026, 5, 1)
RULES = EarningRules(
    zone="America/Chicago",
    numbers=range(1, 101),
    served_on=[date(2026, 1, 1) + 15 * number * timedelta(days=1) for number in range(100)],
    copies={1: range(101), 2: range(101)},
    plans={"annual": (Fraction(24, 73), 2)},
)
SINCE, UNTIL = Moment(through=MONTH - DAY), Moment(through=date(2026, 5, 31))
CLOSED = Closing(month=date(2026, 4, 1), totals={"usd": NOTHING}, closed_at=NOW, closed_by="staff:finance")


async def _of_subscriptions(s: Subject) -> None:
    await liability.of_subscriptions(s.session, RULES, SINCE, UNTIL, s.ids("scr", PAGE))


async def _csv(s: Subject) -> None:
    async for _ in await liability.csv(CsvExports(s.pool), RULES, SINCE, UNTIL):
        pass


async def _close(s: Subject) -> None:
    await liability.close(s.session, RULES, MONTH, before=CLOSED, by="staff:finance", now=NOW)


async def _sample(s: Subject) -> None:
    exports = CsvExports(s.pool)
    async for _ in await circulation.sample(exports, COUNTING, COUNTED[0], line="15b1", every=100, zone=ZONE):
        pass


async def _electronic_sample(s: Subject) -> None:
    exports = CsvExports(s.pool)
    async for _ in await circulation.sample(exports, COUNTING, COUNTED[0], line=ELECTRONIC, every=100, zone=ZONE):
        pass


async def _enter(s: Subject) -> None:
    await circulation.enter(s.session, 7, EnteredCounts(press_run=1000), by="staff:circulation", now=NOW)


REPORTS = (
    query(
        "circulation.label_counts",
        lambda s: circulation.label_counts(s.session, COUNTING, COUNTED),
        reads_all=EVERY_LABEL,
    ),
    query(
        "circulation.electronic", lambda s: circulation.electronic(s.session, COUNTING, COUNTED), reads_all=EVERY_LABEL
    ),
    query("circulation.sample", _sample, reads_all=EVERY_LABEL),
    query("circulation.sample_of_electronic", _electronic_sample, reads_all=EVERY_LABEL),
    query(
        "circulation.freeze_electronic",
        lambda s: circulation.freeze_electronic(s.session, COUNTING, COUNTED[0], run_id="lbl_7"),
        reads_all=EVERY_LABEL,
    ),
    query("circulation.frozen", lambda s: circulation.frozen(s.session, [1, 2])),
    query("circulation.lock", lambda s: circulation.lock(s.session, 1)),
    query("circulation.entered", lambda s: circulation.entered(s.session, [1, 2])),
    query("circulation.enter", _enter),
    query(
        "liability.totals",
        lambda s: liability.totals(s.session, RULES, [SINCE.through, UNTIL.through]),
        reads_all=EVERY_PAYMENT,
    ),
    query("liability.of_subscriptions", _of_subscriptions),
    query("liability.subscriptions_after", lambda s: liability.subscriptions_after(s.session, "", limit=PAGE)),
    query("liability.csv", _csv, reads_all=EVERY_PAYMENT),
    query("liability.closings", lambda s: liability.closings(s.session)),
    query("liability.lock_closings", lambda s: liability.lock_closings(s.session)),
    query("liability.close", _close, reads_all=EVERY_PAYMENT),
)
