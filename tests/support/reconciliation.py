"""Run a reconciliation with Stripe, as the nightly job and the command do."""

from datetime import timedelta
from pathlib import Path

from app import main
from app.domain.reconciliation import SweepKind
from app.services import catalogue, reconciliation
from app.services.reconciliation import Importing, Report
from tests.support.shop import Shop


async def reconcile(
    shop: Shop,
    *,
    kind: str = SweepKind.RECONCILE,
    dry_run: bool = False,
    back: timedelta | None = None,
    importing: Importing | None = None,
) -> Report:
    """Run a complete sweep, and wait until the resulting work is done."""
    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        now = await ctx.clock.policy()
        since = now - back if back is not None else None
        sweep, _ = await reconciliation.begin(
            ctx, kind=kind, by="operator:test", dry_run=dry_run, since=since, restart=True
        )
        report = await reconciliation.run(ctx, sweep.id, now=now, importing=importing)
    await shop.wait_until_idle()
    return report
