"""Special issues, which count as none, reach the terms that an earlier release derived without them."""

import runpy
from pathlib import Path

from app import main
from app.db.engine.schema import ROOT
from app.services import catalogue, derivations
from tests.support.shop import Shop

MIGRATION = ROOT / "migrations" / "versions" / "2026_11_28_special_issues.py"
LAST = 28  # of the term's issues
BETWEEN = LAST + 1  # and the first of the next term


async def test_terms_of_an_earlier_release_get_special_issues_at_once_and_a_day_later(shop: Shop) -> None:
    await shop.plan_issues(
        50, but=f"UPDATE issues SET counts_as = 0, label_cutoff = '2026-12-30' WHERE number = {BETWEEN}"
    )
    await shop.subscribe(shop.person(), print_edition=True)
    (derived,) = await shop.rows("SELECT upper(copies) AS after FROM terms")
    earlier = f"UPDATE terms SET copies = int4multirange(int4range(lower(copies), {BETWEEN}))"
    states = []

    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        assert await derivations.repeat_special_issues(ctx)  # nothing was ordered
        await shop.execute(runpy.run_path(str(MIGRATION))["ORDER"])
        await shop.execute("UPDATE derivation_runs SET created_at = now() - interval '7 days'")  # no process ran since
        for first in ("now()", "now()", "now() - interval '25 hours'", "now() - interval '25 hours'"):
            await shop.execute(earlier)
            await shop.execute(f"UPDATE derivation_runs SET created_at = {first} WHERE change->>'repeats' IS NOT NULL")
            is_done = await derivations.repeat_special_issues(ctx)
            await shop.wait_until_idle()
            (row,) = await shop.rows("SELECT upper(copies) AS after FROM terms")
            states.append((is_done, row["after"]))

    assert derived["after"] == BETWEEN + 1
    assert states == [(False, BETWEEN + 1), (False, BETWEEN), (False, BETWEEN + 1), (True, BETWEEN)]
