"""A worker ends soon after SIGTERM, whatever it is waiting for, and another one does its work."""

import asyncio
import signal
from datetime import timedelta

from pydantic import SecretStr

from tests.support.crashes import wait_until_hit
from tests.support.database_proxy import database_proxy
from tests.support.many_subscribers import worker_process
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

NEVER = timedelta(seconds=10 * TIMEOUT)  # longer than a test waits for a process
SWEEP = """
INSERT INTO sweeps (id, kind, by, dry_run, phase, cursor, counts, work_key, due_at)
VALUES ('swp_1', 'reconcile', 'test', false, 'events', '{}', '{}', 'reconcile', now())
"""


async def test_sigterm_ends_a_worker_whose_call_to_stripe_hangs(killable_shop: Shop) -> None:
    shop = killable_shop
    await shop.subscribe(shop.person())
    assert shop.process is not None
    shop.process.kill()
    fault = await shop.add_fault(method="GET", path="/v1/events", when="before", action="hold", times=100)
    await shop.execute(SWEEP)
    async with worker_process(shop.settings.model_copy(update={"stripe_timeout": NEVER})) as worker:
        await wait_until_hit(shop, fault)
        worker.send_signal(signal.SIGTERM)
        ended = await asyncio.to_thread(worker.wait)
    assert ended.returncode == 0, ended.stderr

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.process.start()
    await shop.wait_until("SELECT finished_at IS NOT NULL FROM sweeps WHERE id = 'swp_1'")
    (row,) = await shop.rows("SELECT counts FROM sweeps WHERE id = 'swp_1'")
    assert '"subscriptions": 1' in row["counts"]  # once


async def test_sigterm_ends_a_worker_whose_database_is_silent(killable_shop: Shop) -> None:
    shop = killable_shop
    assert shop.process is not None
    shop.process.kill()
    async with database_proxy(shop.dsn) as wire:
        settings = shop.settings.model_copy(update={"database_url": SecretStr(wire.url)})
        async with worker_process(settings) as worker:
            await shop.execute(SWEEP)
            await shop.wait_until("SELECT finished_at IS NOT NULL FROM sweeps WHERE id = 'swp_1'")
            wire.silence()
            worker.send_signal(signal.SIGTERM)
            await asyncio.to_thread(worker.wait)
