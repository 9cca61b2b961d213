"""An issue that is added after its own cut-off, and before it is mailed, is refused: its copies were promised to nobody."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from app.context import DatabaseContext
from app.db.engine.session import make_engine, make_sessions
from app.domain.calendar_files import BadCalendarFile, read, write
from app.domain.issues import Issue
from app.services import issues
from tests.support.labels import circulation, freeze, labels
from tests.support.refunds import UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import Shop

DAY = date(2026, 4, 1)
AFTER = datetime(2026, 3, 20, 18, tzinfo=UTC)
LATE = {"title": "Issue 6", "cover_date": "2026-04-01", "planned_mail_date": "2026-04-01", "label_cutoff": "2026-03-18"}
TODAY = {**LATE, "label_cutoff": "2026-03-20"}


async def test_a_refunded_reader_gets_no_copy_of_an_issue_that_is_added_later(shop: Shop) -> None:
    await shop.plan_issues(5)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await shop.advance_to(AFTER)
    await freeze(shop, 5)
    (payment,) = await payment_ids(shop, ada)
    worth = (await get_quotes(shop, payment))[UNSERVED]["amount"]["amount"]
    assert (await request_refund(shop, payment, UNSERVED, worth, key="refund")).status_code == 201
    await shop.wait_until_idle()

    headers = dict(circulation(shop).headers)
    late = await shop.http.put("/v1/issues/6", headers=headers, json=LATE)
    today = await shop.http.put("/v1/issues/6", headers=headers, json=TODAY)
    await shop.wait_until_idle()
    await shop.advance_to(datetime(2026, 3, 21, 18, tzinfo=UTC))
    await freeze(shop, 6)

    assert (late.status_code, late.json()["code"], late.json()["label_cutoff"]) == (409, "cutoff_passed", "2026-03-18")
    assert today.status_code == 200, today.text
    assert len(await labels(shop, 6)) == 1, "Ben's"


async def test_a_calendar_file_names_the_line_of_a_late_issue(shop: Shop) -> None:
    await shop.plan_issues(5)
    engine = make_engine(shop.dsn, pool_size=1)
    ctx = DatabaseContext(settings=shop.settings, sessions=make_sessions(engine))
    late = Issue(number=6, title="Issue 6", cover_date=DAY, planned_mail_date=DAY, label_cutoff=date(2026, 3, 18))
    lines = read(write([replace(late, number=7, label_cutoff=DAY), late]).encode())

    with pytest.raises(BadCalendarFile, match="line 3: The label cut-off of issue 6, 2026-03-18, has passed"):
        await issues.load(ctx, lines, by="operator", now=AFTER, dry_run=False)

    await engine.dispose()
    assert await shop.rows("SELECT FROM issues WHERE number > 5") == []
