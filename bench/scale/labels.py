"""Postal addresses and label runs."""

from datetime import date

from app.db import addresses, back_issues, claims, holds, issues, label_runs, sent_copies
from app.db.engine.copying import CsvExports
from app.db.label_runs import Selection
from app.domain.addresses import CheckedAddress, PostalAddress
from app.domain.back_issues import BackIssue
from app.domain.circulation import BasicPrice, CountingRules
from app.domain.claims import Claim, ClaimResolution, ClaimSelection
from app.domain.holds import Hold, SavedHold
from app.domain.label_runs import Counts, LabelRun
from app.domain.postage import DEFAULT_COLUMNS
from bench.scale.subject import NOW, PAGE, Subject, query

EVERY_COPY = "it freezes, shows or counts a label of each print subscription, a few times for each issue"
ISSUE, NEW_ISSUE, TODAY = 7, 20, date(2026, 6, 1)
HOME = CheckedAddress(
    address=PostalAddress(name="Ada Invented", line1="1 Lantern Street", country="US"), lines=("Ada Invented",)
)
COUNTING = CountingRules(
    mailed_from="US",
    county=["627"],
    other_mail=[],
    prices=[BasicPrice(plan="annual", currency="usd", both_editions=7300, digital=4900)],
    paid_percent=30,
)
SELECTION = Selection(
    issue_number=NEW_ISSUE,
    closes=NOW,
    through=NOW,
    keeps_ended=True,
    mail_date=TODAY,
    served={"US": "domestic"},
    previous=["lbl_7"],
    grace=[("annual", 19), ("annual", 18)],
)
RUN = LabelRun(
    id="lbl_new",
    issue_number=NEW_ISSUE,
    number=1,
    as_of=NOW,
    mail_date=TODAY,
    frozen_at=NOW,
    frozen_by="staff:circulation",
    counts=Counts(copies=0, control_sum=0, bands=(), flags={}),
    columns=DEFAULT_COLUMNS,
)


async def _add_run(s: Subject) -> None:
    await label_runs.add(s.session, RUN)


async def _csv(s: Subject) -> None:
    async for _ in await label_runs.csv(CsvExports(s.pool), RUN):
        pass


async def _save(s: Subject) -> None:
    await addresses.add(s.session, s.reader, HOME, push=True, now=NOW)


async def _unusable(s: Subject) -> None:
    await addresses.unusable(s.session, ISSUE, mailed=TODAY, served={"US": "domestic"}, after="", limit=PAGE)


async def _has_moved(s: Subject) -> None:
    await addresses.has_moved(s.session, s.reader, s.id("adr"), since=NOW, day=TODAY, until=NOW)


async def _copies(s: Subject) -> None:
    await claims.sent_copies(s.session, ISSUE, subscriber_id=s.reader)
    await claims.sent_copies(s.session, ISSUE, subscription_id=s.id("scr"))


async def _claim(s: Subject) -> None:
    await claims.insert(
        s.session,
        Claim(
            id="clm_new",
            subscriber_id=s.reader,
            subscription_id=s.id("scr"),
            term=s.id("in"),
            issue_number=ISSUE,
            run_number=0,
            address_id=s.id("adr"),
            reason="damaged",
            resolution=ClaimResolution.RESEND,
            note=None,
            claimed_by="staff:agent-1",
            created_at=NOW,
        ),
    )


async def _claims(s: Subject) -> None:
    for selection in (
        ClaimSelection(),
        ClaimSelection(subscriber_id=s.reader),
        ClaimSelection(issue_number=ISSUE),
        ClaimSelection(awaiting_approval=True),
    ):
        await claims.page(s.session, selection, after=s.id("clm"), limit=PAGE)


async def _order(s: Subject) -> None:
    order = BackIssue(
        id="bki_new",
        subscriber_id=s.reader,
        subscription_id=s.id("scr"),
        issue_number=ISSUE,
        note=None,
        ordered_by="staff:agent-1",
        created_at=NOW,
    )
    await back_issues.insert(s.session, order)


async def _orders(s: Subject) -> None:
    for reader, number in ((None, None), (s.reader, None), (None, ISSUE)):
        await back_issues.page(s.session, subscriber_id=reader, issue_number=number, after=s.id("bki"), limit=PAGE)


async def _hold(s: Subject) -> None:
    hold = SavedHold(
        id="hld_new", subscriber_id=s.reader, hold=Hold(starts_on=TODAY, issues=2), created_by="reader:rdr_1"
    )
    await holds.add(s.session, hold, over_by=TODAY, now=NOW)


LABELS = (
    query("addresses.of_subscriber", lambda s: addresses.of_subscriber(s.session, s.reader, today=TODAY)),
    query("addresses.permanent_place", lambda s: addresses.permanent_place(s.session, s.reader)),
    query("addresses.add", _save),
    query("addresses.is_of_checkout", lambda s: addresses.is_of_checkout(s.session, s.id("chk"))),
    query("addresses.lacking", lambda s: addresses.lacking(s.session, s.ids("sub"), today=TODAY)),
    query("addresses.does_any_lack", lambda s: addresses.does_any_lack(s.session, today=TODAY)),
    query("addresses.remove", lambda s: addresses.remove(s.session, s.id("adr"), now=NOW)),
    query("addresses.due", lambda s: addresses.due(s.session, s.id("adr"))),
    query("addresses.finish", lambda s: addresses.finish(s.session, s.id("adr"))),
    query("addresses.has_moved", _has_moved),
    query("addresses.unusable", _unusable),
    query("claims.sent_copies", _copies),
    query("claims.insert", _claim),
    query("claims.grant", lambda s: claims.grant(s.session, s.id("clm"), now=NOW)),
    query("claims.by_id", lambda s: claims.by_id(s.session, s.id("clm"))),
    query("claims.of_copy", lambda s: claims.of_copy(s.session, s.id("scr"), ISSUE)),
    query("claims.page", _claims),
    query("claims.count_to", lambda s: claims.count_to(s.session, s.reader, since=NOW)),
    query("claims.count_by", lambda s: claims.count_by(s.session, "staff:agent-1", since=NOW)),
    query("back_issues.insert", _order),
    query("back_issues.by_id", lambda s: back_issues.by_id(s.session, s.id("bki"))),
    query("back_issues.page", _orders),
    query("back_issues.count_to", lambda s: back_issues.count_to(s.session, s.reader, since=NOW)),
    query("back_issues.count_by", lambda s: back_issues.count_by(s.session, "staff:agent-1", since=NOW)),
    query("label_runs.charge_grace", lambda s: label_runs.charge_grace(s.session, "lbl_7", served={"annual": 1})),
    query("holds.of_subscriber", lambda s: holds.of_subscriber(s.session, s.reader)),
    query("holds.add", _hold),
    query("holds.lift", lambda s: holds.lift(s.session, s.id("hld"), ended_on=TODAY)),
    query("label_runs.are_copies_known", lambda s: label_runs.are_copies_known(s.session)),
    query("label_runs.unknown_copies", lambda s: label_runs.unknown_copies(s.session, limit=PAGE)),
    query("label_runs.runs_before", lambda s: label_runs.runs_before(s.session, ISSUE)),
    query("label_runs.preview", lambda s: label_runs.preview(s.session, SELECTION), reads_all=EVERY_COPY),
    query("label_runs.left_out", lambda s: label_runs.left_out(s.session, SELECTION), reads_all=EVERY_COPY),
    query(
        "label_runs.freeze",
        lambda s: label_runs.freeze(s.session, "lbl_new", SELECTION, COUNTING),
        reads_all=EVERY_COPY,
    ),
    query("label_runs.add", _add_run),
    query("label_runs.mark_frozen", lambda s: label_runs.mark_frozen(s.session, ISSUE, as_of=NOW)),
    query("label_runs.of_issue", lambda s: label_runs.of_issue(s.session, ISSUE)),
    query("label_runs.by_id", lambda s: label_runs.by_id(s.session, "lbl_7")),
    query("label_runs.csv", _csv, reads_all=EVERY_COPY),
    query("issues.count_copies", lambda s: issues.count_copies(s.session, ISSUE), reads_all=EVERY_COPY),
    query("sent_copies.of_reader", lambda s: sent_copies.of_reader(s.session, "auth0|x")),
    query("sent_copies.of_subscriptions", lambda s: sent_copies.of_subscriptions(s.session, [s.id("scr")])),
)
